// The Linux bzImage: a real-mode setup header, then code that decompresses the kernel proper inside it. We
// take the compressed kernel out and do this ourselves: on a host it takes a tenth of a second, and a guest
// would begin by faulting in twice the memory. Documentation/arch/x86/boot.rst of Linux.
#pragma once

#include "vmm/base/result.h"
#include "vmm/boot/bytes.h"

namespace glassbox::boot {

[[nodiscard]] bool is_bzimage(ByteView image);

// The compressed kernel within a bzImage (protocol 2.08 and later).
[[nodiscard]] Result<ByteView> bzimage_payload(ByteView image);

}  // namespace glassbox::boot
