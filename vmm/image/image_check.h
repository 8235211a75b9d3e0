// What an initramfs holds, found out before a guest starts: a kernel with half an image only says that it
// found no init, and a guest with too little memory runs with half of its files.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox {

struct ImageContents {
  std::uint64_t image_bytes = 0;     // of the file
  std::uint64_t unpacked_bytes = 0;  // of its files in the guest's memory, in whole pages
  bool known = true;              // false: a part is compressed, and what is in that part is not counted here
  std::set<std::string> folders;  // paths without a leading "/"
  std::map<std::string, std::string> links;  // symbolic links, and where they lead
  std::set<std::string> module_releases;     // the names in /lib/modules
  bool lists_modules = false;                // it has the file that the agent loads modules from

  // Where the folder `path` is: a link in it, such as /bin of a merged /usr, is followed as the guest would.
  [[nodiscard]] std::string resolve(std::string_view path) const;
};

[[nodiscard]] Result<ImageContents> inspect_image(const std::string& path);
// Fails if the image is not whole.
[[nodiscard]] Status check_image(const std::string& path);

// The guest memory that the image needs at least, and that is enough for it with any of Debian's kernels, in
// MiB. Its root is a tmpfs of half the memory that is left next to kernel and image. Between the two the
// guest finds out, and the agent reports what could not be unpacked.
[[nodiscard]] std::uint64_t memory_needed_mib(const ImageContents& contents);
[[nodiscard]] std::uint64_t memory_enough_mib(const ImageContents& contents);

}  // namespace glassbox
