#include "vmm/kvm/exit_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace glassbox::kvm {
namespace {

constexpr std::uint64_t kEntryFailure = 1ULL << 31;  // VMX: an exit during entry, else an instruction error
constexpr std::uint64_t kSvmInvalid = 0xFFFF'FFFF;   // SVM: VMEXIT_INVALID, 32 or 64 bits of -1
constexpr const char* kDump = "; kvm_intel with dump_invalid_vmcs=1 writes the state to the kernel's log";

std::string_view basic_reason(std::uint64_t reason) {
  switch (reason & 0xFFFF) {
    case 33:
      return "invalid guest state";
    case 34:
      return "MSR loading";
    case 41:
      return "machine check";
    default:
      return "unknown reason";
  }
}

std::string_view instruction_error(std::uint64_t error) {
  switch (error) {
    case 4:
      return "VMLAUNCH of a VMCS that is not clear";
    case 5:
      return "VMRESUME of a VMCS that was not launched";
    case 7:
      return "invalid control fields";
    case 8:
      return "invalid host state";
    case 26:
      return "events blocked by MOV SS";
    default:
      return "see Intel SDM vol. 3, 31.4";
  }
}

std::string_view suberror_text(std::uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "it does not emulate this instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "an exception came while it delivered another";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "an exit came while it delivered an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "an exit that it does not know";
    default:
      return "unknown reason";
  }
}

}  // namespace

std::string fail_entry_text(std::uint64_t reason) {
  if (reason == kSvmInvalid || reason == ~0ULL)
    return "the processor refused to enter the guest: invalid state (SVM)";
  if ((reason & kEntryFailure) != 0) {
    return fmt::format("the processor refused to enter the guest: {} (VMX exit reason {}){}",
                       basic_reason(reason), reason & 0xFFFF, kDump);
  }
  return fmt::format("the processor refused to enter the guest: {} (VM-instruction error {}, {:#x}){}",
                     instruction_error(reason), reason, reason, kDump);
}

std::string internal_error_text(const kvm_run& run) {
  const auto& emulation = run.emulation_failure;
  std::string text = fmt::format("KVM cannot run the guest further: {} (suberror {})",
                                 suberror_text(emulation.suberror), std::uint32_t{emulation.suberror});
  // The flags are the first of `ndata` words, the size and the bytes the next two.
  const bool has_bytes = emulation.suberror == KVM_INTERNAL_ERROR_EMULATION && emulation.ndata >= 3 &&
                         (emulation.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
  if (!has_bytes) return text;
  const std::size_t count = std::min<std::size_t>(emulation.insn_size, sizeof(emulation.insn_bytes));
  text += "; instruction";
  for (std::size_t i = 0; i < count; ++i)
    text += fmt::format(" {:02x}", emulation.insn_bytes[i]);
  return text;
}

}  // namespace glassbox::kvm
