// The release of a kernel image (what `uname -r` will say), to tell whether an image has its modules.
#pragma once

#include <string>

namespace glassbox {

// Of a bzImage, from its header (Documentation/arch/x86/boot.rst, kernel_version); of an ELF kernel, from its
// banner "Linux version ...". Empty if the file has neither. The text is printable.
[[nodiscard]] std::string kernel_release(const std::string& path);

}  // namespace glassbox
