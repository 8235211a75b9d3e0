// What glassbox has set itself to be against the better of the QEMU stacks of the same run, and whether it
// is.
//
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

struct Target {
  enum class About { kCount, kCrr, kRr, kBoot };
  std::string what;  // "exits per CRR"
  std::string unit;
  About about = About::kCount;
  double limit = 0;    // of the ratio
  bool below = false;  // less than the limit, not at most
  std::optional<double> ours, peers;
  std::string peer;     // that has the better figure
  std::string missing;  // why there is no ratio

  [[nodiscard]] std::optional<double> ratio() const;
  [[nodiscard]] bool met() const;
};

// Empty where the run has no glassbox or no QEMU.
[[nodiscard]] std::vector<Target> targets_of(const CompareResult& result);

// "exits per CRR: 9.2 against 21.5 of qemu-slirp: 0.43x, at most 0.50x: met"
[[nodiscard]] std::string describe(const Target& target);

}  // namespace glassbox::bench
