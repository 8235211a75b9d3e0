// What a trace says about the two clocks: every exchange, and every frame that was seen on both sides.
#pragma once

#include <cstddef>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

struct ClockEvidence {
  std::vector<ClockConstraint> constraints;
  std::size_t exchanges = 0;       // pairs of host and guest records
  std::size_t frames = 0;          // frames that paired
  std::size_t lone_exchanges = 0;  // host or guest record without the other
  std::size_t impossible = 0;      // exchanges whose end is before their beginning
};

// A frame pairs where (guest port, destination port, seq, flags, length) occurs once on either side: of a
// retransmission nobody can tell which copy is which, so it pairs with nothing.
[[nodiscard]] ClockEvidence collect_clock_evidence(const Trace& trace);

}  // namespace glassbox::trace
