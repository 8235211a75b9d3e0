// The state in which a kernel starts: the structures in memory and the registers that its boot protocol
// demands.
#pragma once

#include <optional>
#include <string_view>

#include "vmm/base/result.h"
#include "vmm/boot/loader.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::boot {

struct Handover {
  LoadedKernel kernel;
  std::optional<LoadedInitrd> initrd;
  std::string_view command_line;
  GuestPhysAddr rsdp = 0;
};

// Writes the command line and the protocol's structures (hvm_start_info, or zero page and page tables).
[[nodiscard]] Status write_handover(const Handover& handover, const GuestMemory& memory);
// Sets the boot processor's registers for it.
[[nodiscard]] Status set_entry_registers(const Handover& handover, kvm::Vcpu& vcpu);

// The two protocols.
[[nodiscard]] Status write_pvh(const Handover& handover, const GuestMemory& memory);
[[nodiscard]] Status set_pvh_registers(const Handover& handover, kvm::Vcpu& vcpu);
[[nodiscard]] Status write_linux64(const Handover& handover, const GuestMemory& memory);
[[nodiscard]] Status set_linux64_registers(const Handover& handover, kvm::Vcpu& vcpu);

}  // namespace glassbox::boot
