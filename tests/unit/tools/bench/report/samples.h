// Made-up results for the tests of what is said of them.
#pragma once

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

// Rounds with a mood each, as a machine has it: independent cycles around a median that moves.
[[nodiscard]] Rounds moody(std::uint64_t median_ns, std::uint32_t rounds, std::uint64_t seed,
                           std::uint64_t mood_seed);

// A row with a figure for crr.
Row& add(CompareResult& result, const std::string& name, const Rounds& rounds, double exits);

// glassbox beside both QEMU stacks: faster than either.
[[nodiscard]] CompareResult sample();

}  // namespace glassbox::bench
