// A kernel as an ELF file: its segments, their addresses and its entry points. The file is not trusted: every
// number in it is checked against its size before use.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/boot/bytes.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::boot {

struct ElfSegment {
  GuestPhysAddr address = 0;
  ByteView contents;              // into the image
  std::uint64_t memory_size = 0;  // >= contents.size(); the rest is zero
};

struct ElfKernel {
  std::vector<ElfSegment> segments;
  GuestPhysAddr entry = 0;                 // 64-bit entry, physical
  std::optional<GuestPhysAddr> pvh_entry;  // 32-bit entry of the PVH boot protocol, if the kernel has one
  [[nodiscard]] GuestPhysAddr end() const;
};

[[nodiscard]] bool is_elf(ByteView image);
// The result points into image.
[[nodiscard]] Result<ElfKernel> parse_elf_kernel(ByteView image);

}  // namespace glassbox::boot
