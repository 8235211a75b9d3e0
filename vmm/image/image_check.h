// Checks before a guest starts that its initramfs is whole: a kernel with half an image only says that it
// found no init.
#pragma once

#include <string>

#include "vmm/base/result.h"

namespace glassbox {

// Walks the entries of an uncompressed cpio (newc) archive. A compressed image is not checked: the
// kernel's decompressor does that.
[[nodiscard]] Status check_image(const std::string& path);

}  // namespace glassbox
