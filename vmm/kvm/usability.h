// Is KVM here fit to run a Linux guest? Measured, not guessed: some machines offer a /dev/kvm whose guests
// are interpreted, and Linux does not boot there in practical time.
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
  std::uint64_t instructions_per_second = 0;  // 0 where it came to no measurement
};

// Whether to boot a guest on it. A processor with VMX or SVM runs guests at its own speed and only needs
// opening; where there is neither, check_kvm() decides.
[[nodiscard]] Usability check_kvm_briefly();

// Runs a loop of a few thousand to a few million guest instructions; takes at most about 100 ms.
[[nodiscard]] Usability check_kvm();

}  // namespace glassbox::kvm
