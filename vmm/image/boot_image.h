// The image that a guest boots with: the file of --initrd as it is or, with --add or with a kernel whose
// modules it lacks, a copy in memory with more archives behind it. The kernel unpacks archives in order.
#pragma once

#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/image/added_files.h"
#include "vmm/image/image_check.h"

namespace glassbox {

struct BootImageSpec {
  std::string kernel;
  std::string initrd;  // may be empty
  std::vector<AddedPath> added;
  std::uint64_t memory_mib = 0;  // of the guest
};

// `path` leads to `copy` if there is one. The guest has its own copy once it has started: drop this one then.
struct BootImage {
  std::string path;  // empty: none
  UniqueFd copy;
};

// Fails if the guest's memory is too small for what is in the image, and names the --memory that would do.
// Thread: any; blocks for as long as the files take to read.
[[nodiscard]] Result<BootImage> make_boot_image(const BootImageSpec& spec);

// One line about a kernel whose modules the image does not have and that are not found either, so that a
// guest only comes up if the kernel has the drivers built in. Empty if there is nothing to say.
[[nodiscard]] std::string kernel_misfit(const BootImageSpec& spec);

}  // namespace glassbox
