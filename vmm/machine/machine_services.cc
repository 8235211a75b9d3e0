#include "vmm/machine/machine_services.h"

namespace glassbox {

Status MachineServices::map_mmio(GuestPhysAddr base, std::uint64_t size, IoHandler* handler) {
  // A guest chooses where a BAR goes. RAM never exits to us, so that a BAR over RAM would just be dead.
  for (const GuestMemory::Region& region : memory_.regions()) {
    if (base < region.base + region.size && region.base - base < size) {
      return fail("a register block of {:#x} bytes at {:#x} would lie over RAM", size, base);
    }
    if (base >= region.base && base - region.base < region.size) {
      return fail("a register block of {:#x} bytes at {:#x} would lie over RAM", size, base);
    }
  }
  return mmio_.add(base, size, handler);
}

}  // namespace glassbox
