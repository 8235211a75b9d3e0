// How long a comparison takes: before it, from what its parts took elsewhere; in it, from what the rounds so
// far took of that.
//
// Pure.
#pragma once

#include <string>

#include "tools/bench/compare_spec.h"

namespace glassbox::bench {

// Seconds.
struct Estimate {
  double start = 0, round = 0, counts = 0, boots = 0;
  double traced = 0;  // where a target is missed, which nobody knows before
  [[nodiscard]] double total(std::uint32_t rounds) const { return start + rounds * round + counts + boots; }
};

// lab: everything in there is emulated.
[[nodiscard]] Estimate estimate(const CompareSpec& spec, bool lab);

// Of the rounds, the counts and the boots: seconds that are left after `done` rounds that
// took `took_s`. What is still to come is as much faster or slower than estimated as they were.
[[nodiscard]] double left_s(const Estimate& estimate, const CompareSpec& spec, std::uint32_t done,
                            double took_s);

// "less than a minute", "about 4 min".
[[nodiscard]] std::string about(double seconds);

// What to say before the run; where it takes longer than some minutes, also what makes it shorter.
[[nodiscard]] std::string announce(const CompareSpec& spec, bool lab);

}  // namespace glassbox::bench
