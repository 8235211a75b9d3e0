// What KVM says of the two clocks, held against what the trace proves. It may disagree: an offset can be
// accepted and not obeyed. That is told, and nothing follows from it.
//
// Theory of operation. A reading is two records. The guest's: its clock and its time stamp counter, an exit,
// counter and clock again. The host's, out of that exit: its counter, and what KVM says of the vCPU's offset
// and of its clock.
//   offset  the guest's counter at the host's stamp H is the host's plus KVM's offset; the guest's own two
//           pairs say what its clock showed then, so that KVM's word gives an offset of the clocks at H. No
//           frequency is assumed. It should lie in the interval that causality leaves at H.
//   clock   KVM's clock is the guest's CLOCK_MONOTONIC plus something that only the guest knows, but that
//           stands still: between the first and the last readings the two must not move apart by more than
//           causality leaves open.
// A reading is one sample of two clocks, disturbed by whatever comes between the instructions; so that one
// bad one decides nothing, medians do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/trace/clock/clock.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

struct ClockCheck {
  enum class Outcome : std::uint8_t { kAgrees, kDisagrees, kNotOffered };
  std::string_view id;  // "tsc_offset" or "kvm_clock"
  Outcome outcome = Outcome::kNotOffered;
  std::string why;  // kNotOffered: what is missing
  std::size_t readings = 0, inside = 0;
  // Of the median reading; for kvm_clock, what the two moved apart by. kvm - causal = difference.
  std::optional<std::int64_t> causal_ns, half_width_ns, kvm_ns, difference_ns;
  std::int64_t outside_ns = 0;        // how far beyond the interval; 0 where it agrees
  std::optional<std::int64_t> flags;  // of KVM_GET_CLOCK
};
[[nodiscard]] std::string_view name_of(ClockCheck::Outcome outcome);

struct ClockChecks {
  ClockCheck tsc_offset, kvm_clock;
};

// `hull` is null where the trace has none.
[[nodiscard]] ClockChecks check_clocks(const Trace& trace, const ClockHull* hull);

// Two lines for the report; none without a guest in the trace.
[[nodiscard]] std::string format_checks(const ClockChecks& checks);

}  // namespace glassbox::trace
