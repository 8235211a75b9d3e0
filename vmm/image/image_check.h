// Whether an initramfs is whole, before a guest is started on it: a kernel that gets half an image says only
// that it found no init.
#pragma once

#include <string>

#include "vmm/base/result.h"

namespace glassbox {

// Walks the entries of an uncompressed cpio (newc) archive. A compressed image is taken on trust: the
// kernel's decompressor checks it.
[[nodiscard]] Status check_image(const std::string& path);

}  // namespace glassbox
