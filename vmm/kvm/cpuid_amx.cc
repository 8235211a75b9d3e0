#include "vmm/kvm/cpuid_amx.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace glassbox::kvm {
namespace {

constexpr std::uint32_t kExtendedFeatures = 7;
constexpr std::uint32_t kXsave = 0xD;
constexpr std::uint32_t kTileInformation = 0x1D;
constexpr std::uint32_t kTileMultiply = 0x1E;

constexpr unsigned kTileConfig = 17;  // component of XCR0, and subleaf of 0xD
constexpr unsigned kTileData = 18;
constexpr std::uint32_t kTileComponents = (1U << kTileConfig) | (1U << kTileData);

constexpr std::uint32_t kXfd = 1U << 4;                                  // 0xD.1 EAX
constexpr std::uint32_t kAmxTile = 1U << 24;                             // 7.0 EDX
constexpr std::uint32_t kAmxLeaf7 = (1U << 22) | kAmxTile | (1U << 25);  // 7.0 EDX: BF16, TILE, INT8
constexpr std::uint32_t kAmxLeaf71Eax = 1U << 21;                        // 7.1 EAX: FP16
constexpr std::uint32_t kAmxLeaf71Edx = 1U << 8;                         // 7.1 EDX: COMPLEX
constexpr std::uint32_t kXsaveLegacyBytes = 576;                         // FXSAVE area and XSAVE header

const kvm_cpuid_entry2* find(const std::vector<kvm_cpuid_entry2>& entries, std::uint32_t function,
                             std::uint32_t index) {
  const auto at = std::find_if(entries.begin(), entries.end(), [&](const kvm_cpuid_entry2& entry) {
    return entry.function == function && entry.index == index;
  });
  return at == entries.end() ? nullptr : &*at;
}

bool has_whole_amx(const std::vector<kvm_cpuid_entry2>& entries) {
  const auto* features = find(entries, kExtendedFeatures, 0);
  const auto* xsave = find(entries, kXsave, 0);
  const auto* config = find(entries, kXsave, kTileConfig);
  const auto* data = find(entries, kXsave, kTileData);
  return features != nullptr && (features->edx & kAmxTile) != 0 && xsave != nullptr &&
         (xsave->eax & kTileComponents) == kTileComponents && config != nullptr && config->eax != 0 &&
         data != nullptr && data->eax != 0 && find(entries, kTileInformation, 1) != nullptr &&
         find(entries, kTileMultiply, 0) != nullptr;
}

bool is_amx_only(const kvm_cpuid_entry2& entry) {
  return (entry.function == kXsave && (entry.index == kTileConfig || entry.index == kTileData)) ||
         entry.function == kTileInformation || entry.function == kTileMultiply;
}

// Bytes of the XSAVE area, in the standard format, with all that XCR0 may enable: the end of the last
// component.
std::uint32_t xsave_bytes(const std::vector<kvm_cpuid_entry2>& entries, std::uint32_t components) {
  std::uint32_t end = kXsaveLegacyBytes;
  for (const kvm_cpuid_entry2& entry : entries) {
    if (entry.function != kXsave || entry.index < 2 || entry.index >= 32) continue;
    if ((components & (1U << entry.index)) != 0) end = std::max(end, entry.eax + entry.ebx);
  }
  return end;
}

}  // namespace

void request_amx_permission() {
  constexpr long kRequestGuestPermission = 0x1025;  // ARCH_REQ_XCOMP_GUEST_PERM of <asm/prctl.h>, Linux 5.17
  ::syscall(SYS_arch_prctl, kRequestGuestPermission, static_cast<long>(kTileData));
}

void drop_partial_amx(std::vector<kvm_cpuid_entry2>& entries) {
  if (has_whole_amx(entries)) return;
  entries.erase(std::remove_if(entries.begin(), entries.end(), is_amx_only), entries.end());
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function == kExtendedFeatures && entry.index == 0) entry.edx &= ~kAmxLeaf7;
    if (entry.function == kExtendedFeatures && entry.index == 1) {
      entry.eax &= ~kAmxLeaf71Eax;
      entry.edx &= ~kAmxLeaf71Edx;
    }
    if (entry.function == kXsave && entry.index == 1) entry.eax &= ~kXfd;  // XFD serves XTILEDATA alone
    if (entry.function == kXsave && entry.index == 0 && (entry.eax & kTileComponents) != 0) {
      entry.eax &= ~kTileComponents;
      entry.ecx = xsave_bytes(entries, entry.eax);
    }
  }
}

}  // namespace glassbox::kvm
