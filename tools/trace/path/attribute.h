// From a trace to the time of each cycle, split by segment.
//
// Theory of operation. find_guest_cycles() finds the cycles that the guest reported; HostFlows finds what the
// host did for each connection. The two are joined by ports and time, and each flow is used once, so that a
// guest that reports one connection many times gains nothing. A chain builder orders the boundaries of a
// cycle, and resolve_path() turns them into steps, each with a segment or "unattributed".
//
// Pure: no I/O, no clock of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/trace/clock/clock_report.h"
#include "tools/trace/file/trace.h"
#include "tools/trace/path/guest_cycles.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

struct CycleResult {
  CycleKind kind = CycleKind::kSingle;
  std::uint64_t flow = 0;                 // the NAT's number of its connection; 0: not seen by the host
  std::int64_t begin_ns = 0, end_ns = 0;  // host time
  std::array<std::int64_t, kSegments> segment_ns{};
  // Both boundaries of the segment were seen and could be neighbours. True even if the path did not go
  // through it; it then took 0.
  std::array<bool, kSegments> segment_seen{};
  std::int64_t unattributed_ns = 0;
  std::uint32_t net_tid = 0, server_tid = 0;  // host threads that served it; 0: not seen
  Path path;                                  // its steps, in order of time
  [[nodiscard]] std::int64_t total_ns() const { return end_ns - begin_ns; }
};

struct Attribution {
  std::vector<CycleResult> cycles;
  std::size_t incomplete = 0;    // begun or ended outside the trace, or a boundary was lost: not in `cycles`
  std::size_t without_flow = 0;  // complete in the guest, but not seen by the host; these are in `cycles`
  // The segment belongs to the path of at least one cycle, whether or not its events were seen.
  std::array<bool, kSegments> applies{};
};

// Without guest events, or without a clock that gives them host times, the cycles are those that the host
// saw. The same holds if the guest reported no connection at all: a silent guest must not remove the host's
// cycles from the report. Paths point into nothing: `trace` and `clock` need not outlive the result.
[[nodiscard]] Attribution attribute(const Trace& trace, const ClockReport& clock);

}  // namespace glassbox::trace
