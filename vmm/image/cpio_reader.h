// Walks a cpio archive (newc) entry by entry, as the kernel unpacks an initramfs: several archives in a row,
// with zero bytes between them.
//
// The file may be anything and may change meanwhile: every length is checked, and reads past the end are
// errors.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "vmm/base/result.h"

namespace glassbox {

struct CpioEntry {
  std::string name;  // without a leading "/" or "./"
  mode_t mode = 0;
  std::uint64_t size = 0;
  std::string link;  // the target of a symbolic link
};

struct CpioEnd {
  bool is_cpio = true;     // false: the first bytes are not those of an archive
  bool has_rest = false;   // something else follows, a compressed archive perhaps; at `rest`
  std::uint64_t rest = 0;  // where it begins
};

// Calls `take` for each entry but the trailers. Fails with "truncated" where an archive ends without its
// trailer.
[[nodiscard]] Result<CpioEnd> walk_cpio(int fd, const std::function<void(const CpioEntry&)>& take);

}  // namespace glassbox
