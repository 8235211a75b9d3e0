// From a trace to where each cycle's time went. Pure: no I/O, no clock of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/clock/clock_constraints.h"
#include "tools/trace/file/trace.h"
#include "tools/trace/path/guest_cycles.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

struct CycleResult {
  CycleKind kind = CycleKind::kSingle;
  std::uint64_t flow = 0;                 // 0: the host saw nothing of it
  std::int64_t begin_ns = 0, end_ns = 0;  // host time
  std::array<std::int64_t, kSegments> segment_ns{};
  // The segment's boundaries were there to be neighbours, whether or not it was on the path (then it took 0).
  std::array<bool, kSegments> segment_seen{};
  std::int64_t unattributed_ns = 0;
  std::uint32_t net_tid = 0, server_tid = 0;  // the threads that served it on the host; 0: not seen
  Path path;
  [[nodiscard]] std::int64_t total_ns() const { return end_ns - begin_ns; }
};

struct Attribution {
  std::vector<CycleResult> cycles;
  std::size_t incomplete = 0;    // begun or ended outside the trace, or an event of it was lost
  std::size_t without_flow = 0;  // complete in the guest, not seen by the host: among `cycles`
  // A segment that belongs to the path of some cycle, whether or not its events were there.
  std::array<bool, kSegments> applies{};
};

// What one vCPU's constraints say by themselves. The guest's CLOCK_MONOTONIC is one clock for all of them, so
// that this is a check: a contradiction within a vCPU is a clock that jumped, one of the whole hull without
// any is vCPUs that disagree.
struct VcpuClock {
  std::uint16_t vcpu = 0;
  std::size_t constraints = 0, violations = 0;
};

struct ClockReport {
  ClockEvidence evidence;
  std::optional<ClockHull> hull;  // where both sides of theta are known
  std::int64_t bound_ns = 0;      // half-width of the hull, worst over all guest events
  std::vector<VcpuClock> vcpus;   // by number
};

[[nodiscard]] ClockReport derive_clock(const Trace& trace);

// Without guest events, or without a clock to place them by, cycles are those that the host saw; so too where
// the guest tells of no connection at all: it would take the host's from the table by its silence.
[[nodiscard]] Attribution attribute(const Trace& trace, const ClockReport& clock);

}  // namespace glassbox::trace
