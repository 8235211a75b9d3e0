// Measures what one hit of a traced USDT probe costs the thread that fires it, on this machine, now.
#pragma once

#include <cstdint>

#include "vmm/base/result.h"

namespace glassbox::trace {

struct ProbeCost {
  std::int64_t hit_ns = 0;  // median of a round with the probe attached less one without, per hit
  std::uint64_t hits = 0;   // how many were measured
};

// Attaches a program like the recorder's to a probe of this process, fires the probe in a loop and compares
// the CPU time with that of the same loop before. Blocks for some tens of milliseconds. Needs the same
// privileges as tracing.
[[nodiscard]] Result<ProbeCost> measure_probe_cost();

}  // namespace glassbox::trace
