// Tests whether KVM obeys KVM_VCPU_TSC_OFFSET, the guest's time stamp counter less the host's. Some KVMs
// accept it and ignore it.
#pragma once

#include <string>

namespace glassbox::kvm {

struct TscOffset {
  bool honest = false;
  std::string detail;  // the measurement, or why there is none
};

// Sets an offset, has a guest read its counter and compares. Takes a few milliseconds.
[[nodiscard]] TscOffset check_tsc_offset();

}  // namespace glassbox::kvm
