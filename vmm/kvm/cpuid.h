// What a guest's CPUID instruction says: KVM's own offer, with the topology of this machine put in.
//
// One socket, one thread a core: vCPU n has APIC id n. Nested virtualisation is taken out, the TSC-deadline
// timer is put in (the local APIC is in the kernel, which emulates it), so that the guest calibrates no
// timer.
#pragma once

#include <span>
#include <vector>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// Pure. vcpus >= 1, vcpu < vcpus.
[[nodiscard]] std::vector<kvm_cpuid_entry2> guest_cpuid(std::span<const kvm_cpuid_entry2> supported,
                                                        unsigned vcpu, unsigned vcpus);

}  // namespace glassbox::kvm
