// Decompresses the kernel within a bzImage: LZ4 (legacy frame), gzip, xz or zstd. The last four bytes of the
// payload are the size of the result, for each of them (gzip has it in its own format, the kernel's build
// appends it for the others).
#pragma once

#include "vmm/base/result.h"
#include "vmm/boot/bytes.h"

namespace glassbox::boot {

// A kernel is at most this large; what announces more is damaged.
inline constexpr std::uint64_t kMaxKernelBytes = 512ULL << 20;

[[nodiscard]] Result<Bytes> decompress_kernel(ByteView payload);

}  // namespace glassbox::boot
