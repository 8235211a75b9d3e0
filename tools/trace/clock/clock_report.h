// What a trace proves about its two clocks: evidence, hull, and the bound that the report states.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/clock/clock_constraints.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

// The constraints of one vCPU alone, as a check. CLOCK_MONOTONIC is one clock for all vCPUs. A contradiction
// within one vCPU means that the clock jumped; a contradiction of the whole hull without one within a vCPU
// means that the vCPUs disagree.
struct VcpuClock {
  std::uint16_t vcpu = 0;
  std::size_t constraints = 0, violations = 0;
};

struct ClockReport {
  ClockEvidence evidence;
  std::optional<ClockHull> hull;  // empty: the trace does not bound the offset from both sides
  std::int64_t bound_ns = 0;      // half-width of the hull, the largest at any guest event
  std::vector<VcpuClock> vcpus;   // by vCPU number
};

// Collects the evidence of a trace and intersects it. Pure.
[[nodiscard]] ClockReport derive_clock(const Trace& trace);

}  // namespace glassbox::trace
