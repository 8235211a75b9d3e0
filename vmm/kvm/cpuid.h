// The answers to a guest's CPUID instruction: KVM's offer, changed to show this machine's topology.
//
// One socket, one thread per core: vCPU n has APIC id n. Nested virtualisation is removed. The TSC-deadline
// timer is added (the kernel's local APIC emulates it), so that the guest calibrates no timer. The processor
// has its own name, and the frequency of the time stamp counter is told, for kernels without kvm-clock: there
// is no other timer here to measure it with.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// What the guest's CPUID takes from the host's processor and from KVM.
struct CpuidHost {
  // EAX to EDX of leaves 0x80000002 to 0x80000004, the name; all zero if it has none.
  std::array<std::uint32_t, 12> brand{};
  std::uint32_t tsc_khz = 0;  // of the guest; 0: not known
};

// This processor's name. tsc_khz stays 0.
[[nodiscard]] CpuidHost read_cpuid_host();

// Pure. vcpus >= 1, vcpu < vcpus.
[[nodiscard]] std::vector<kvm_cpuid_entry2> guest_cpuid(std::span<const kvm_cpuid_entry2> supported,
                                                        unsigned vcpu, unsigned vcpus,
                                                        const CpuidHost& host = {});

}  // namespace glassbox::kvm
