// The answers to a guest's CPUID instruction: KVM's offer, changed to show this machine's topology.
//
// One socket, one thread per core: vCPU n has APIC id n. Nested virtualisation is removed. The TSC-deadline
// timer is added (the kernel's local APIC emulates it), so that the guest calibrates no timer.
#pragma once

#include <span>
#include <vector>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// Pure. vcpus >= 1, vcpu < vcpus.
[[nodiscard]] std::vector<kvm_cpuid_entry2> guest_cpuid(std::span<const kvm_cpuid_entry2> supported,
                                                        unsigned vcpu, unsigned vcpus);

}  // namespace glassbox::kvm
