// What a vCPU was doing, in one line for people who develop a monitor or a kernel.
#pragma once

#include <string>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// The instruction and stack pointers, the mode, and what a fault is found by: control registers (cr2: the
// address of the last page fault), the interrupt table (limit 0: the guest meant it, it is how kernels
// reset).
[[nodiscard]] std::string describe(const kvm_regs& regs, const kvm_sregs& sregs);

// At the reset vector. Either it was never started, or it had a triple fault and KVM has reset it, as it does
// on AMD, where the processor leaves the state undefined: the reset vector then says nothing of where the
// guest was.
[[nodiscard]] bool at_reset(const kvm_regs& regs, const kvm_sregs& sregs);

}  // namespace glassbox::kvm
