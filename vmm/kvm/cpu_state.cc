#include "vmm/kvm/cpu_state.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace glassbox::kvm {
namespace {

constexpr std::uint64_t kCr0ProtectionEnable = 1;
constexpr std::uint64_t kEferLongModeActive = 1 << 10;
// Intel SDM 3, table 10-1: where a processor begins.
constexpr std::uint64_t kResetRip = 0xFFF0;
constexpr std::uint64_t kResetCodeBase = 0xFFFF'0000;

std::string_view mode_of(const kvm_sregs& sregs) {
  if ((sregs.cr0 & kCr0ProtectionEnable) == 0) return "real mode";
  if ((sregs.efer & kEferLongModeActive) == 0) return "protected mode";
  return sregs.cs.l != 0 ? "64-bit mode" : "compatibility mode";
}

}  // namespace

bool at_reset(const kvm_regs& regs, const kvm_sregs& sregs) {
  return regs.rip == kResetRip && sregs.cs.base == kResetCodeBase;
}

std::string describe(const kvm_regs& regs, const kvm_sregs& sregs) {
  return fmt::format(
      "rip {:x}:{:#x}, {}, rsp {:#x}, rflags {:#x}, cr0 {:#x}, cr2 {:#x}, cr3 {:#x}, cr4 {:#x}, idt "
      "{:#x}+{:#x}",
      std::uint16_t{sregs.cs.selector}, std::uint64_t{regs.rip}, mode_of(sregs), std::uint64_t{regs.rsp},
      std::uint64_t{regs.rflags}, std::uint64_t{sregs.cr0}, std::uint64_t{sregs.cr2},
      std::uint64_t{sregs.cr3}, std::uint64_t{sregs.cr4}, std::uint64_t{sregs.idt.base},
      std::uint16_t{sregs.idt.limit});
}

}  // namespace glassbox::kvm
