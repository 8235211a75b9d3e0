// The goals of glassbox, and whether a run meets them: compared with the better of its peers in the same run
// (with a guest: the QEMU stacks; without: pasta and slirp4netns), with a floor of the same run, or with a
// fixed bound.
//
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

struct Target {
  enum class About { kCount, kCrr, kRr, kBoot, kNative };
  enum class Bound { kAtMost, kBelow, kAtLeast };
  std::string what;  // "exits per CRR"
  std::string unit;
  About about = About::kCount;
  double limit = 0;  // of the ratio; of our figure itself if `absolute`
  Bound bound = Bound::kAtMost;
  bool absolute = false;
  std::string row;       // label of glassbox's row
  std::string workload;  // whose cell has the figure; empty: boots
  std::optional<double> ours, peers;
  std::string peer;     // the one with the better figure
  std::string missing;  // why there is no verdict

  // Ours over the peer's.
  [[nodiscard]] std::optional<double> ratio() const;
  // What the limit is compared with: the ratio, or our figure.
  [[nodiscard]] std::optional<double> value() const { return absolute ? ours : ratio(); }
  [[nodiscard]] bool met() const;
};

// In the order of the report; only those whose workloads and peers are part of the run.
[[nodiscard]] std::vector<Target> targets_of(const CompareResult& result);

// Whether there is a verdict, and it is a miss.
[[nodiscard]] bool is_missed(const Target& target);
// Whether the report explains it: a miss, or with --explain-all every target that has a verdict.
[[nodiscard]] bool is_explained(const Target& target, const Spec& spec);

[[nodiscard]] const Row* find_row(const CompareResult& result, const std::string& label);
[[nodiscard]] Row* find_row(CompareResult& result, const std::string& label);

// "exits per CRR: 9.2 against 21.5 of qemu-slirp: 0.43x, at most 0.50x: met"
[[nodiscard]] std::string describe(const Target& target);
[[nodiscard]] std::string_view name(Target::Bound bound);  // "at most"

}  // namespace glassbox::bench
