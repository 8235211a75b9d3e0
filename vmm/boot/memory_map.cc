#include "vmm/boot/memory_map.h"

#include "vmm/platform/layout.h"

namespace glassbox::boot {

std::vector<MemoryMapEntry> memory_map(const GuestMemory& memory) {
  std::vector<MemoryMapEntry> map = {
      {0, layout::kLowRamEnd, MemoryType::kRam},
      {layout::kAcpiTables, layout::kAcpiTablesEnd - layout::kAcpiTables, MemoryType::kReserved},
  };
  for (const GuestMemory::Region& region : memory.regions()) {
    const GuestPhysAddr base = region.base == 0 ? layout::kHighRamStart : region.base;
    map.push_back({base, region.base + region.size - base, MemoryType::kRam});
  }
  return map;
}

}  // namespace glassbox::boot
