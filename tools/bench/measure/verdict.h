// When two stacks may be called different.
//
// Theory. Cycles within a round are not independent of each other (a scheduler's mood lasts longer than a
// cycle), so a test over pooled cycles finds a difference between a stack and itself soon enough. Rounds are
// what is repeated: each stack has one median a round, and stacks that are measured in the same round share
// what the machine did then. The test is the exact sign-flip permutation test of the paired log ratios of
// these medians: if the stacks are alike, each round's ratio is as likely to be its reciprocal. Two-sided;
// with n rounds no p-value is below 2^(1-n), so fewer than 8 rounds cannot show p < 0.01.
//
// "Different" asks for both: p < kSignificance and intervals of the medians (order statistics) that do not
// overlap. Everything else is "not told apart".
//
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/bench/measure/stats.h"

namespace glassbox::bench {

inline constexpr double kSignificance = 0.01;
// Rounds below which the test over rounds cannot reach kSignificance.
inline constexpr std::uint32_t kRoundsForVerdict = 8;

// The samples of one stack under one workload, round by round.
using Rounds = std::vector<std::vector<std::uint64_t>>;

[[nodiscard]] std::vector<std::uint64_t> pooled(const Rounds& rounds);

struct Comparison {
  double ratio = 1;          // of the medians, this over base
  double p = 1;              // of the test over rounds
  std::uint32_t rounds = 0;  // that both have
  bool overlap = true;       // of the medians' intervals
  bool different = false;
};

// Empty where either has no samples.
[[nodiscard]] std::optional<Comparison> compare(const Rounds& one, const Rounds& base);

// Two-sided p-value of the sign-flip test on the mean; exact up to 20 values, from 100,000 draws with a fixed
// seed beyond.
[[nodiscard]] double sign_flip_p(std::span<const double> values);

// "0.61x, p 0.008", "1.02x, not told apart (p 0.4)", "0.61x, too few rounds to tell"
[[nodiscard]] std::string describe(const Comparison& comparison);

}  // namespace glassbox::bench
