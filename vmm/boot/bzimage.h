// The Linux bzImage: a real-mode setup header, then code that decompresses the kernel proper inside it. The
// guest does that as on any machine, from the 64-bit entry of that code: to decompress on the host beforehand
// takes as long, and wants a library for each of the formats. Documentation/arch/x86/boot.rst of Linux.
#pragma once

#include <asm/bootparam.h>

#include <cstdint>

#include "vmm/base/result.h"
#include "vmm/boot/bytes.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::boot {

struct BzImage {
  setup_header header = {};       // as in the file
  std::uint64_t code_offset = 0;  // of the protected-mode code in the file
  std::uint64_t code_size = 0;
  GuestPhysAddr address = 0;      // where the code wants to be
  std::uint64_t memory_size = 0;  // that it uses from there before it looks at the memory map; >= code_size
  [[nodiscard]] GuestPhysAddr entry() const { return address + 0x200; }  // of the 64-bit boot protocol
};

// As many bytes of the file as parse_bzimage() may want to see.
inline constexpr std::uint64_t kBzImageHead = 1024;

[[nodiscard]] bool is_bzimage(ByteView head);

// `head` is the beginning of a file of file_size bytes.
[[nodiscard]] Result<BzImage> parse_bzimage(ByteView head, std::uint64_t file_size);

}  // namespace glassbox::boot
