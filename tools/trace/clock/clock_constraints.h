// Collects what a trace says about its two clocks: every exchange, and every frame that both sides saw. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

struct ClockEvidence {
  std::vector<ClockConstraint> constraints;
  std::size_t exchanges = 0;       // pairs of host and guest records
  std::size_t frames = 0;          // frames that could be paired
  std::size_t lone_exchanges = 0;  // records of an exchange without the other side's record
  std::size_t impossible = 0;      // exchanges that end before they begin
};

// A frame pairs only if its (guest port, destination port, seq, flags, length) occurs exactly once on each
// side. The copies of a retransmission cannot be told apart, so they pair with nothing.
[[nodiscard]] ClockEvidence collect_clock_evidence(const Trace& trace);

}  // namespace glassbox::trace
