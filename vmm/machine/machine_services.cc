#include "vmm/machine/machine_services.h"

namespace glassbox {

Status MachineServices::map_mmio(GuestPhysAddr base, std::uint64_t size, IoHandler* handler) {
  // A guest chooses the address of a BAR. An access to RAM causes no exit, so that a BAR over RAM would never
  // be reached.
  for (const GuestMemory::Region& region : memory_->regions()) {
    if (base < region.base + region.size && region.base - base < size) {
      return fail("a register block of {:#x} bytes at {:#x} would lie over RAM", size, base);
    }
    if (base >= region.base && base - region.base < region.size) {
      return fail("a register block of {:#x} bytes at {:#x} would lie over RAM", size, base);
    }
  }
  return mmio_.add(base, size, handler);
}

KvmClocks MachineServices::kvm_clocks(unsigned vcpu) {
  KvmClocks clocks;
  if (const auto offset = requests_.vcpu(vcpu).tsc_offset())
    clocks.tsc_offset = *offset;
  else
    clocks.offset_error = offset.error().code;
  if (const auto clock = vm_.clock()) {
    clocks.clock_flags = clock->flags;
    clocks.clock_ns = clock->clock;
    if ((clock->flags & KVM_CLOCK_HOST_TSC) != 0) clocks.clock_tsc = clock->host_tsc;
  } else {
    clocks.clock_error = clock.error().code;
  }
  return clocks;
}

}  // namespace glassbox
