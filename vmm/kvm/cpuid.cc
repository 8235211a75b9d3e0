#include "vmm/kvm/cpuid.h"

#include <bit>
#include <cassert>
#include <cstdint>

#include "vmm/kvm/cpuid_amx.h"

namespace glassbox::kvm {
namespace {

// Leaves as Intel SDM vol. 2A (CPUID) and AMD APM vol. 3 (appendix E) number them.
constexpr std::uint32_t kFeatures = 1;
constexpr std::uint32_t kIntelCaches = 4;
constexpr std::uint32_t kTopology = 0xB;
constexpr std::uint32_t kTopologyV2 = 0x1F;
constexpr std::uint32_t kExtendedFeatures = 0x8000'0001;
constexpr std::uint32_t kAmdSizes = 0x8000'0008;
constexpr std::uint32_t kAmdCaches = 0x8000'001D;
constexpr std::uint32_t kAmdTopology = 0x8000'001E;
constexpr std::uint32_t kAmdMemoryEncryption = 0x8000'001F;

constexpr std::uint32_t bit(unsigned n) {
  return 1U << n;
}
constexpr std::uint32_t put(std::uint32_t word, unsigned low, unsigned width, std::uint32_t value) {
  const std::uint32_t mask = ((1U << width) - 1) << low;
  return (word & ~mask) | ((value << low) & mask);
}

struct Topology {
  unsigned id;       // of this vCPU
  unsigned count;    // vCPUs
  unsigned id_bits;  // bits of an APIC id that tell cores apart
};

void set_features(kvm_cpuid_entry2& entry, const Topology& topology) {
  entry.ebx = put(entry.ebx, 24, 8, topology.id);
  entry.ebx = put(entry.ebx, 16, 8, 1U << topology.id_bits);
  entry.ecx &= ~bit(5);                                           // VMX
  entry.ecx |= bit(24) | bit(31);                                 // TSC-deadline timer, hypervisor
  entry.edx = put(entry.edx, 28, 1, topology.count > 1 ? 1 : 0);  // HTT: EBX[23:16] is meaningful
}

// Number of APIC ids that share a cache: all for level 3, one for the others.
void set_cache_sharing(kvm_cpuid_entry2& entry, const Topology& topology) {
  if ((entry.eax & 0x1F) == 0) return;  // end of the list
  const bool last_level = ((entry.eax >> 5) & 7) >= 3;
  entry.eax = put(entry.eax, 14, 12, last_level ? (1U << topology.id_bits) - 1 : 0);
}

// Leaf 0xB: level 0 threads of a core, level 1 cores of the package.
kvm_cpuid_entry2 topology_level(const Topology& topology, unsigned level) {
  kvm_cpuid_entry2 entry = {};
  entry.function = kTopology;
  entry.index = level;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.eax = level == 0 ? 0 : topology.id_bits;
  entry.ebx = level == 0 ? 1 : topology.count;
  entry.ecx = level | ((level + 1) << 8);
  entry.edx = topology.id;
  return entry;
}

}  // namespace

std::vector<kvm_cpuid_entry2> guest_cpuid(std::span<const kvm_cpuid_entry2> supported, unsigned vcpu,
                                          unsigned vcpus) {
  assert(vcpus >= 1 && vcpu < vcpus);
  const Topology topology{vcpu, vcpus, static_cast<unsigned>(std::bit_width(vcpus - 1))};
  std::vector<kvm_cpuid_entry2> out;
  out.reserve(supported.size() + 2);
  bool has_topology = false;
  for (kvm_cpuid_entry2 entry : supported) {
    switch (entry.function) {
      case kFeatures:
        set_features(entry, topology);
        break;
      case kIntelCaches:
      case kAmdCaches:
        set_cache_sharing(entry, topology);
        if (entry.function == kIntelCaches && (entry.eax & 0x1F) != 0) {
          entry.eax = put(entry.eax, 26, 6, (1U << topology.id_bits) - 1);
        }
        break;
      case kTopology:
        has_topology = true;
        continue;  // replaced as a whole below
      case kTopologyV2:
        continue;
      case kExtendedFeatures:
        entry.ecx &= ~bit(2);                                          // SVM
        entry.ecx = put(entry.ecx, 1, 1, topology.count > 1 ? 1 : 0);  // CmpLegacy: cores, not threads
        break;
      case kAmdSizes:
        entry.ecx = put(entry.ecx, 0, 8, topology.count - 1);
        entry.ecx = put(entry.ecx, 12, 4, topology.id_bits);
        break;
      case kAmdTopology:
        entry.eax = topology.id;
        entry.ebx = put(entry.ebx, 0, 16, topology.id);  // core id, one thread
        entry.ecx = 0;                                   // one node
        break;
      case kAmdMemoryEncryption:  // no guest of this monitor is an SEV guest: one that believes it is dies at
                                  // once
        entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
        break;
      default:
        break;
    }
    out.push_back(entry);
  }
  if (has_topology) {
    out.push_back(topology_level(topology, 0));
    out.push_back(topology_level(topology, 1));
  }
  drop_partial_amx(out);
  return out;
}

}  // namespace glassbox::kvm
