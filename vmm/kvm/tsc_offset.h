// Does KVM keep its word about the guest's time stamp counter? Some accept KVM_VCPU_TSC_OFFSET and ignore it.
#pragma once

#include <string>

namespace glassbox::kvm {

struct TscOffset {
  bool honest = false;
  std::string detail;  // what was seen, or why nothing could be
};

// Sets an offset, has a guest read its counter and compares. Takes a few milliseconds.
[[nodiscard]] TscOffset check_tsc_offset();

}  // namespace glassbox::kvm
