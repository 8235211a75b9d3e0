// What one hit of a traced USDT probe costs the thread that fires it, measured on this machine in this run.
#pragma once

#include <cstdint>

#include "vmm/base/result.h"

namespace glassbox::trace {

struct ProbeCost {
  std::int64_t hit_ns = 0;  // median of the rounds, probe attached less probe off
  std::uint64_t hits = 0;   // that were measured
};

// Attaches a program like those of the recorder to a probe of this very process, fires it in a loop and
// compares with the same loop before. Takes some tens of milliseconds. Needs what tracing needs.
[[nodiscard]] Result<ProbeCost> measure_probe_cost();

}  // namespace glassbox::trace
