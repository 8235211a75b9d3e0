// What a guest's CPUID says, on offers of KVM as real processors and kernels make them.
#include "vmm/kvm/cpuid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/kvm/exit_text.h"

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

kvm_cpuid_entry2 vendor(const char (&name)[13], std::uint32_t last) {
  kvm_cpuid_entry2 leaf = entry(0);
  leaf.eax = last;
  std::memcpy(&leaf.ebx, name, 4);
  std::memcpy(&leaf.edx, name + 4, 4);
  std::memcpy(&leaf.ecx, name + 8, 4);
  return leaf;
}
kvm_cpuid_entry2 vendor_amd() {
  return vendor("AuthenticAMD", 0x10);
}
kvm_cpuid_entry2 vendor_intel() {
  return vendor("GenuineIntel", 0x16);
}

TEST(Cpuid, TopologyOfFourCores) {
  std::vector<kvm_cpuid_entry2> supported = {entry(1),          entry(4, 0),      entry(0xB, 0),
                                             entry(0xB, 1),     entry(0x1F, 0),   entry(0x80000001),
                                             entry(0x80000008), entry(0x8000001E)};
  supported[1].eax = 0x1C000163;  // level 3 cache
  supported.push_back(vendor_amd());
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

// CmpLegacy and the core count of 0x80000008 are AMD's; Intel documents those bits as reserved.
TEST(Cpuid, BitsOfOneVendorStayWithIt) {
  for (const bool amd : {true, false}) {
    std::vector<kvm_cpuid_entry2> supported = {amd ? vendor_amd() : vendor_intel(), entry(0x80000001),
                                               entry(0x80000008)};
    const auto guest = guest_cpuid(supported, 1, 4);
    EXPECT_EQ(find(guest, 0x80000001)->ecx, amd ? 2U : 0U);
    EXPECT_EQ(find(guest, 0x80000008)->ecx, amd ? (2U << 12) | 3U : 0U);
  }
  std::vector<kvm_cpuid_entry2> hygon = {vendor("HygonGenuine", 0x10), entry(0x80000001)};
  EXPECT_EQ(find(guest_cpuid(hygon, 0, 2), 0x80000001)->ecx, 2U);
}

// KVM offers no name: the leaves are zero (Linux 5.10 to 6.18) or beyond the last one.
TEST(Cpuid, TheProcessorHasTheHostsName) {
  const std::string name = "Intel(R) Xeon(R) Platinum 8480+, as the host has it";
  CpuidHost host;
  std::memcpy(host.brand.data(), name.data(), 48);
  for (const bool has_leaves : {true, false}) {
    std::vector<kvm_cpuid_entry2> supported = {vendor_intel(), entry(0x80000000)};
    supported[1].eax = has_leaves ? 0x80000008 : 0x80000001;
    if (has_leaves)
      supported.insert(supported.end(), {entry(0x80000002), entry(0x80000003), entry(0x80000004)});
    const auto guest = guest_cpuid(supported, 0, 1, host);
    std::string got;
    for (const std::uint32_t leaf : {0x80000002U, 0x80000003U, 0x80000004U}) {
      const kvm_cpuid_entry2* words = find(guest, leaf);
      ASSERT_NE(words, nullptr);
      for (const std::uint32_t word : {words->eax, words->ebx, words->ecx, words->edx})
        got.append(reinterpret_cast<const char*>(&word), 4);
    }
    EXPECT_EQ(got, name.substr(0, 48));
    EXPECT_EQ(find(guest, 0x80000000)->eax, has_leaves ? 0x80000008U : 0x80000004U);
  }
}

// As Linux computes it (arch/x86/kernel/tsc.c, native_calibrate_tsc()): in 32 bits, and with the crystal as
// the clock of the local APIC's timer.
std::uint32_t linux_tsc_khz(const kvm_cpuid_entry2& leaf) {
  const std::uint32_t crystal_khz = leaf.ecx / 1000;
  return crystal_khz * leaf.ebx / leaf.eax;
}

TEST(Cpuid, KernelsWithoutKvmClockAreToldTheFrequencyOfTheTsc) {
  for (std::uint32_t khz = 400'000; khz < 4'294'000; khz += 7'919) {
    std::vector<kvm_cpuid_entry2> supported = {vendor("GenuineIntel", 0xD), entry(0x40000000)};
    supported[1].eax = 0x40000001;
    const auto guest = guest_cpuid(supported, 0, 1, {.brand = {}, .tsc_khz = khz});
    const kvm_cpuid_entry2* leaf = find(guest, 0x15);
    ASSERT_NE(leaf, nullptr);
    EXPECT_EQ(leaf->ecx, 1'000'000'000U);
    const double error = linux_tsc_khz(*leaf) / static_cast<double>(khz) - 1;
    // A numerator of at most 4294 can do no better just beside 2:1 (1,999,638 kHz: 52 ppm).
    EXPECT_LT(std::abs(error), 1e-4) << khz;
    EXPECT_EQ(find(guest, 0)->eax, 0x15U);
    EXPECT_EQ(find(guest, 0x40000010)->eax, khz);
    EXPECT_EQ(find(guest, 0x40000000)->eax, 0x40000010U);
  }
}

TEST(Cpuid, OnAmdOnlyTheHypervisorsLeafHasTheFrequency) {
  std::vector<kvm_cpuid_entry2> supported = {vendor_amd(), entry(0x40000000)};
  const auto guest = guest_cpuid(supported, 0, 1, {.brand = {}, .tsc_khz = 2'000'000});
  EXPECT_EQ(find(guest, 0x15), nullptr);
  EXPECT_EQ(find(guest, 0x40000010)->eax, 2'000'000U);
  EXPECT_EQ(find(guest_cpuid(supported, 0, 1), 0x40000010), nullptr) << "not known";
}

TEST(ExitText, SaysWhatTheProcessorRefused) {
  EXPECT_NE(fail_entry_text(0x80000021).find("invalid guest state"), std::string::npos);
  EXPECT_NE(fail_entry_text(7).find("invalid control fields (VM-instruction error 7"), std::string::npos);
  EXPECT_NE(fail_entry_text(0xFFFFFFFF).find("SVM"), std::string::npos);
  EXPECT_EQ(fail_entry_text(0xFFFFFFFF).find("dump_invalid_vmcs"), std::string::npos);
}

TEST(ExitText, ShowsTheInstructionThatKvmDoesNotEmulate) {
  kvm_run run = {};
  run.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
  EXPECT_EQ(internal_error_text(run).find("instruction 0f"), std::string::npos);
  run.emulation_failure.ndata = 3;
  run.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
  run.emulation_failure.insn_size = 3;
  run.emulation_failure.insn_bytes[0] = 0x0F;
  run.emulation_failure.insn_bytes[1] = 0x01;
  EXPECT_NE(internal_error_text(run).find("; instruction 0f 01 00"), std::string::npos)
      << internal_error_text(run);
  run.emulation_failure.insn_size = 255;  // KVM's word is checked as well
  EXPECT_LT(internal_error_text(run).size(), 200U);
}

}  // namespace
}  // namespace glassbox::kvm
