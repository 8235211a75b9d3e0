// Tests by measurement whether KVM here can run a Linux guest: on some machines /dev/kvm interprets its
// guests, and Linux does not boot there in practical time.
#pragma once

#include <cstdint>
#include <string>

namespace glassbox::kvm {

// Ring-0 instructions a second below which a KVM counts as unusable, except inside the lab.
inline constexpr std::uint64_t kMinimumRate = 50'000'000;

struct Usability {
  bool usable = false;
  // Half a sentence for people: "/dev/kvm runs 3.1 million guest instructions a second, below 50 million".
  std::string reason;
  std::uint64_t instructions_per_second = 0;  // 0 without a measurement
};

// Whether to boot a guest on it. With VMX or SVM a processor runs guests at its own speed, so that it is
// enough to open /dev/kvm; without either, check_kvm() decides.
[[nodiscard]] Usability check_kvm_briefly();

// Runs a loop of a few thousand to a few million guest instructions; takes at most about 100 ms.
[[nodiscard]] Usability check_kvm();

}  // namespace glassbox::kvm
