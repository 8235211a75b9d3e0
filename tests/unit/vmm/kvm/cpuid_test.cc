// What a guest's CPUID says, on offers of KVM as real processors and kernels make them.
#include "vmm/kvm/cpuid.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace glassbox::kvm {
namespace {

kvm_cpuid_entry2 entry(std::uint32_t function, std::uint32_t index = 0) {
  kvm_cpuid_entry2 out = {};
  out.function = function;
  out.index = index;
  return out;
}

const kvm_cpuid_entry2* find(const std::vector<kvm_cpuid_entry2>& entries, std::uint32_t function,
                             std::uint32_t index = 0) {
  for (const kvm_cpuid_entry2& candidate : entries) {
    if (candidate.function == function && candidate.index == index) return &candidate;
  }
  return nullptr;
}

TEST(Cpuid, TopologyOfFourCores) {
  std::vector<kvm_cpuid_entry2> supported = {entry(1),          entry(4, 0),      entry(0xB, 0),
                                             entry(0xB, 1),     entry(0x1F, 0),   entry(0x80000001),
                                             entry(0x80000008), entry(0x8000001E)};
  supported[1].eax = 0x1C000163;  // level 3 cache
  const auto guest = guest_cpuid(supported, 2, 4);
  EXPECT_EQ(find(guest, 1)->ebx >> 24, 2U);
  EXPECT_EQ((find(guest, 1)->ebx >> 16) & 0xFF, 4U);
  EXPECT_NE(find(guest, 1)->edx & (1U << 28), 0U);
  EXPECT_EQ((find(guest, 4)->eax >> 14) & 0xFFF, 3U);
  EXPECT_EQ(find(guest, 4)->eax >> 26, 3U);
  EXPECT_EQ(find(guest, 0xB, 1)->ebx, 4U);
  EXPECT_EQ(find(guest, 0xB, 1)->eax, 2U);
  EXPECT_EQ(find(guest, 0xB, 0)->edx, 2U);
  EXPECT_EQ(find(guest, 0x1F), nullptr);
  EXPECT_EQ(find(guest, 0x80000008)->ecx, (2U << 12) | 3U);
  EXPECT_EQ(find(guest, 0x8000001E)->eax, 2U);
}

TEST(Cpuid, HypervisorAndDeadlineTimerInNestingOut) {
  std::vector<kvm_cpuid_entry2> supported = {entry(1), entry(0x80000001)};
  supported[0].ecx = 1U << 5;
  supported[1].ecx = 1U << 2;
  const auto guest = guest_cpuid(supported, 0, 1);
  EXPECT_EQ(find(guest, 1)->ecx, (1U << 24) | (1U << 31));
  EXPECT_EQ(find(guest, 0x80000001)->ecx, 0U);
  EXPECT_EQ(find(guest, 1)->edx & (1U << 28), 0U);
}

// What KVM of Linux 5.17 to 6.3 offers on Sapphire Rapids to a process without the permission for XTILEDATA:
// the tile configuration, the feature and XFD, but neither the tile data nor the leaves that describe tiles.
std::vector<kvm_cpuid_entry2> half_of_amx() {
  std::vector<kvm_cpuid_entry2> supported = {entry(1),      entry(7, 0),   entry(7, 1),   entry(0xD, 0),
                                             entry(0xD, 1), entry(0xD, 2), entry(0xD, 9), entry(0xD, 17)};
  supported[1].edx = (1U << 22) | (1U << 24) | (1U << 25) | (1U << 4);
  supported[2].eax = (1U << 21) | (1U << 4);
  supported[2].edx = 1U << 8;
  supported[3].eax = (1U << 17) | 0x207;
  supported[3].ecx = 2752 + 64;
  supported[4].eax = 0x1F;
  supported[5].eax = 256;
  supported[5].ebx = 576;
  supported[6].eax = 8;
  supported[6].ebx = 2688;
  supported[7].eax = 64;
  supported[7].ebx = 2752;
  return supported;
}

TEST(Cpuid, HalfOfAmxIsNone) {
  const auto guest = guest_cpuid(half_of_amx(), 0, 1);
  EXPECT_EQ(find(guest, 7, 0)->edx, 1U << 4);
  EXPECT_EQ(find(guest, 7, 1)->eax, 1U << 4);
  EXPECT_EQ(find(guest, 7, 1)->edx, 0U);
  EXPECT_EQ(find(guest, 0xD, 0)->eax, 0x207U);
  EXPECT_EQ(find(guest, 0xD, 0)->ecx, 2696U);  // up to the end of PKRU, component 9
  EXPECT_EQ(find(guest, 0xD, 1)->eax, 0xFU);
  EXPECT_EQ(find(guest, 0xD, 17), nullptr);
}

TEST(Cpuid, AmxStaysWhereItIsWhole) {
  auto supported = half_of_amx();
  supported[3].eax |= 1U << 18;
  supported[3].ecx = 11008;
  for (const auto& [function, index] : {std::pair{0xDU, 18U}, {0x1DU, 0U}, {0x1DU, 1U}, {0x1EU, 0U}}) {
    supported.push_back(entry(function, index));
  }
  supported[8].eax = 8192;
  supported[8].ebx = 2816;
  const auto guest = guest_cpuid(supported, 0, 1);
  EXPECT_EQ(find(guest, 7, 0)->edx, supported[1].edx);
  EXPECT_EQ(find(guest, 0xD, 0)->eax, supported[3].eax);
  EXPECT_EQ(find(guest, 0xD, 0)->ecx, 11008U);
  EXPECT_EQ(find(guest, 0xD, 1)->eax, 0x1FU);
  EXPECT_EQ(find(guest, 0xD, 18)->eax, 8192U);
  EXPECT_NE(find(guest, 0x1D, 1), nullptr);
}

// Any one part that is missing takes the others with it.
TEST(Cpuid, EveryPartOfAmxIsNeeded) {
  auto whole = half_of_amx();
  whole[3].eax |= 1U << 18;
  for (const auto& [function, index] : {std::pair{0xDU, 18U}, {0x1DU, 1U}, {0x1EU, 0U}}) {
    whole.push_back(entry(function, index));
    whole.back().eax = 8192;
  }
  ASSERT_NE(find(guest_cpuid(whole, 0, 1), 0xD, 17), nullptr);
  for (const auto& [function, index] : {std::pair{0xDU, 17U}, {0xDU, 18U}, {0x1DU, 1U}, {0x1EU, 0U}}) {
    auto partial = whole;
    std::erase_if(partial,
                  [&, f = function, i = index](const auto& e) { return e.function == f && e.index == i; });
    const auto guest = guest_cpuid(partial, 0, 1);
    EXPECT_EQ(find(guest, 0xD, 0)->eax & 0x60000U, 0U) << function << "." << index;
    EXPECT_EQ(find(guest, 7, 0)->edx & (1U << 24), 0U) << function << "." << index;
  }
}

// EPYC hosts with SEV offer leaf 0x8000001F. A kernel that reads SEV there touches MSRs that no guest here
// has.
TEST(Cpuid, NoMemoryEncryption) {
  std::vector<kvm_cpuid_entry2> supported = {entry(1), entry(0x8000001F)};
  supported[1].eax = 0x2;
  supported[1].ebx = 51;
  supported[1].ecx = 509;
  supported[1].edx = 1;
  const auto guest = guest_cpuid(supported, 0, 1);
  const kvm_cpuid_entry2* leaf = find(guest, 0x8000001F);
  ASSERT_NE(leaf, nullptr);
  EXPECT_EQ(leaf->eax | leaf->ebx | leaf->ecx | leaf->edx, 0U);
}

}  // namespace
}  // namespace glassbox::kvm
