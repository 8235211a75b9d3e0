// The state of a vCPU in one line, for developers of a monitor or a kernel.
#pragma once

#include <string>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// The instruction and stack pointers, the mode, and the registers that explain a fault: control registers
// (cr2: the address of the last page fault), the interrupt table (limit 0: intended, kernels reset the
// machine that way).
[[nodiscard]] std::string describe(const kvm_regs& regs, const kvm_sregs& sregs);

// Whether it is at the reset vector. Either it was never started, or it had a triple fault and KVM has reset
// it (on AMD, where the processor leaves the state undefined). Then the registers do not show where the guest
// was.
[[nodiscard]] bool at_reset(const kvm_regs& regs, const kvm_sregs& sregs);

}  // namespace glassbox::kvm
