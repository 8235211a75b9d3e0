#include "vmm/kvm/cpuid.h"

#include <cpuid.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <utility>

#include "vmm/kvm/cpuid_amx.h"

namespace glassbox::kvm {
namespace {

// Leaves as Intel SDM vol. 2A (CPUID) and AMD APM vol. 3 (appendix E) number them.
constexpr std::uint32_t kVendor = 0;
constexpr std::uint32_t kFeatures = 1;
constexpr std::uint32_t kIntelCaches = 4;
constexpr std::uint32_t kTopology = 0xB;
constexpr std::uint32_t kTsc = 0x15;
constexpr std::uint32_t kTopologyV2 = 0x1F;
constexpr std::uint32_t kHypervisor = 0x4000'0000;
// A convention that VMware began and KVM's documentation names: EAX is the frequency of the TSC in kHz.
constexpr std::uint32_t kHypervisorTiming = 0x4000'0010;
constexpr std::uint32_t kExtended = 0x8000'0000;
constexpr std::uint32_t kExtendedFeatures = 0x8000'0001;
constexpr std::uint32_t kBrand = 0x8000'0002;  // and the two after it
constexpr std::uint32_t kBrandLeaves = 3;
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

// AMD's processors, and Hygon's, which descend from them.
bool is_amd(std::span<const kvm_cpuid_entry2> supported) {
  const auto leaf = std::find_if(supported.begin(), supported.end(),
                                 [](const kvm_cpuid_entry2& e) { return e.function == kVendor; });
  if (leaf == supported.end()) return false;
  constexpr std::uint32_t kAuth = 0x6874'7541;  // EBX of "AuthenticAMD"
  constexpr std::uint32_t kHygo = 0x6F67'7948;  // of "HygonGenuine"
  return leaf->ebx == kAuth || leaf->ebx == kHygo;
}

bool is_intel(std::span<const kvm_cpuid_entry2> supported) {
  constexpr std::uint32_t kGenu = 0x756E'6547;  // EBX of "GenuineIntel"
  return std::any_of(supported.begin(), supported.end(),
                     [](const kvm_cpuid_entry2& e) { return e.function == kVendor && e.ebx == kGenu; });
}

kvm_cpuid_entry2& leaf_of(std::vector<kvm_cpuid_entry2>& entries, std::uint32_t function) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [function](const kvm_cpuid_entry2& e) { return e.function == function; });
  if (found != entries.end()) return *found;
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  entries.push_back(entry);
  return entries.back();
}

// The highest leaf of its range stands in EAX of the range's first leaf.
void reach(std::vector<kvm_cpuid_entry2>& entries, std::uint32_t first, std::uint32_t last) {
  kvm_cpuid_entry2& leaf = leaf_of(entries, first);
  leaf.eax = std::max(leaf.eax, last);
}

void set_brand(std::vector<kvm_cpuid_entry2>& entries, const std::array<std::uint32_t, 12>& brand) {
  if (std::all_of(brand.begin(), brand.end(), [](std::uint32_t word) { return word == 0; })) return;
  for (std::uint32_t i = 0; i < kBrandLeaves; ++i) {
    kvm_cpuid_entry2& leaf = leaf_of(entries, kBrand + i);
    leaf.eax = brand[i * 4];
    leaf.ebx = brand[i * 4 + 1];
    leaf.ecx = brand[i * 4 + 2];
    leaf.edx = brand[i * 4 + 3];
  }
  reach(entries, kExtended, kBrand + kBrandLeaves - 1);
}

struct Ratio {
  std::uint64_t numerator;
  std::uint64_t denominator;
};

// The best approximation of value / unit whose numerator is at most `limit`: the last convergent of its
// continued fraction that keeps to it, or the fraction between that and the next one.
Ratio approximate(std::uint64_t value, std::uint64_t unit, std::uint64_t limit) {
  const double wanted = static_cast<double>(value) / static_cast<double>(unit);
  const auto error = [wanted](const Ratio& ratio) {
    return std::abs(static_cast<double>(ratio.numerator) / static_cast<double>(ratio.denominator) - wanted);
  };
  Ratio before{0, 1}, now{1, 0};
  while (unit != 0) {
    const std::uint64_t whole = value / unit;
    const std::uint64_t most = now.numerator == 0 ? whole : (limit - before.numerator) / now.numerator;
    const std::uint64_t steps = std::min(whole, most);
    const Ratio next{steps * now.numerator + before.numerator, steps * now.denominator + before.denominator};
    if (steps < whole) return error(next) < error(now) ? next : now;
    before = std::exchange(now, next);
    value = std::exchange(unit, value % unit);
  }
  return now;
}

// Linux multiplies crystal in kHz by the numerator in 32 bits, and takes the crystal for the clock of the
// local APIC's timer, which KVM runs at 1 GHz.
void set_tsc_frequency(std::vector<kvm_cpuid_entry2>& entries, std::uint32_t tsc_khz, bool intel) {
  constexpr std::uint32_t kCrystalHz = 1'000'000'000;
  constexpr std::uint32_t kCrystalKhz = kCrystalHz / 1000;
  if (tsc_khz == 0) return;
  if (intel) {
    const Ratio ratio = approximate(tsc_khz, kCrystalKhz, 0xFFFF'FFFF / kCrystalKhz);
    kvm_cpuid_entry2& leaf = leaf_of(entries, kTsc);
    leaf.eax = static_cast<std::uint32_t>(ratio.denominator);
    leaf.ebx = static_cast<std::uint32_t>(ratio.numerator);
    leaf.ecx = kCrystalHz;
    leaf.edx = 0;
    reach(entries, kVendor, kTsc);
  }
  const bool has_hypervisor = std::any_of(
      entries.begin(), entries.end(), [](const kvm_cpuid_entry2& e) { return e.function == kHypervisor; });
  if (!has_hypervisor) return;
  leaf_of(entries, kHypervisorTiming).eax = tsc_khz;
  reach(entries, kHypervisor, kHypervisorTiming);
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

CpuidHost read_cpuid_host() {
  CpuidHost host;
  for (unsigned i = 0; i < kBrandLeaves; ++i) {
    unsigned* const words = &host.brand[i * std::size_t{4}];
    if (__get_cpuid(kBrand + i, words, words + 1, words + 2, words + 3) == 0) return {};
  }
  return host;
}

std::vector<kvm_cpuid_entry2> guest_cpuid(std::span<const kvm_cpuid_entry2> supported, unsigned vcpu,
                                          unsigned vcpus, const CpuidHost& host) {
  assert(vcpus >= 1 && vcpu < vcpus);
  const Topology topology{vcpu, vcpus, static_cast<unsigned>(std::bit_width(vcpus - 1))};
  std::vector<kvm_cpuid_entry2> out;
  out.reserve(supported.size() + 8);
  const bool amd = is_amd(supported);
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
        entry.ecx &= ~bit(2);  // SVM
        if (amd)
          entry.ecx = put(entry.ecx, 1, 1, topology.count > 1 ? 1 : 0);  // CmpLegacy: cores, not threads
        break;
      case kAmdSizes:
        if (!amd) break;  // of the leaf, Intel has only the address sizes in EAX
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
  set_brand(out, host.brand);
  set_tsc_frequency(out, host.tsc_khz, is_intel(supported));
  return out;
}

}  // namespace glassbox::kvm
