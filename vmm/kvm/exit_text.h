// Exits of KVM that end a vCPU, in words: what the processor or KVM says of the cause.
#pragma once

#include <string>

#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

// KVM_EXIT_FAIL_ENTRY (Intel SDM vol. 3, 27.8 and 31.4; AMD APM vol. 2, 15.5.1).
[[nodiscard]] std::string fail_entry_text(std::uint64_t hardware_reason);

// KVM_EXIT_INTERNAL_ERROR, with the bytes of the instruction where KVM gives them. `run` is KVM's shared
// area.
[[nodiscard]] std::string internal_error_text(const kvm_run& run);

}  // namespace glassbox::kvm
