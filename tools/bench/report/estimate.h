// How long a comparison takes: before it starts, by what its parts took in earlier runs; during it, scaled by
// the rounds that are done.
//
// Pure.
#pragma once

#include <string>

#include "tools/bench/spec.h"

namespace glassbox::bench {

// Seconds.
struct Estimate {
  double start = 0, round = 0, counts = 0, boots = 0;
  double traced = 0;  // if a target is missed, which is not known before
  [[nodiscard]] double total(std::uint32_t rounds) const { return start + rounds * round + counts + boots; }
};

// lab: the run is in the lab, where everything is emulated.
[[nodiscard]] Estimate estimate(const Spec& spec, bool lab);

// Seconds that are left of rounds, counts and boots after `done` rounds that took `took_s`. The rest is
// assumed to be as much faster or slower than estimated as these rounds were.
[[nodiscard]] double left_s(const Estimate& estimate, const Spec& spec, std::uint32_t done, double took_s);

// "less than a minute", "about 4 min".
[[nodiscard]] std::string about(double seconds);

// The line before the run; if it takes longer than some minutes, also how to make it shorter.
[[nodiscard]] std::string announce(const Spec& spec, bool lab);

}  // namespace glassbox::bench
