// AMX in a guest's CPUID: whole, or not at all.
//
// KVM of Linux 5.17 to 6.3 offers XTILECFG to every process, but XTILEDATA only to one that asked for the
// permission. A guest that is given the first without the second sets an XCR0 that the processor refuses
// (#GP while its FPU is set up) and never boots. So the monitor asks for the permission, and what is then
// still half is taken out (Intel SDM vol. 1, 13.5 and 18.1; Documentation/arch/x86/xstate.rst).
#pragma once

#include <vector>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// Asks the kernel to let guests of this process use XTILEDATA. To be called before KVM is asked for its CPUID
// and before the first vCPU. A refusal is no error: the processor or the kernel has no AMX.
void request_amx_permission();

// Takes every trace of AMX out of a CPUID table that does not have all of it. Pure.
void drop_partial_amx(std::vector<kvm_cpuid_entry2>& entries);

}  // namespace glassbox::kvm
