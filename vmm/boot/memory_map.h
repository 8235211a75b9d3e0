// The map of physical memory that the kernel gets (e820 and its PVH form use the same types).
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/platform/guest_memory.h"

namespace glassbox::boot {

enum class MemoryType : std::uint32_t { kRam = 1, kReserved = 2 };

struct MemoryMapEntry {
  GuestPhysAddr base = 0;
  std::uint64_t size = 0;
  MemoryType type = MemoryType::kRam;
  friend bool operator==(const MemoryMapEntry&, const MemoryMapEntry&) = default;
};

// Ascending, without overlaps. The ACPI tables' area is reserved, the rest of 640 KiB..1 MiB left out.
[[nodiscard]] std::vector<MemoryMapEntry> memory_map(const GuestMemory& memory);

}  // namespace glassbox::boot
