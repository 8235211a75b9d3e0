// The Linux bzImage: a real-mode setup header, then code that decompresses the kernel proper inside it. The
// guest decompresses it as on any machine, from the 64-bit entry of that code. Decompressing on the host
// would take as long and need a library for each format. Source: Linux, Documentation/arch/x86/boot.rst.
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
  GuestPhysAddr address = 0;  // where the code is to be loaded
  std::uint64_t memory_size =
      0;  // bytes from there that it uses before it reads the memory map; >= code_size
  [[nodiscard]] GuestPhysAddr entry() const { return address + 0x200; }  // of the 64-bit boot protocol
};

// parse_bzimage() needs at most this many bytes of the file.
inline constexpr std::uint64_t kBzImageHead = 1024;

[[nodiscard]] bool is_bzimage(ByteView head);

// `head` is the beginning of a file of file_size bytes.
[[nodiscard]] Result<BzImage> parse_bzimage(ByteView head, std::uint64_t file_size);

}  // namespace glassbox::boot
