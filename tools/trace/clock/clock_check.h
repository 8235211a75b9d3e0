// Compares what KVM says about the two clocks with what the trace proves. KVM may disagree: it can accept a
// TSC offset and not apply it. The report then says so; no other figure depends on it.
//
// Theory of operation. A reading consists of two records. The guest's: its clock and time stamp counter, an
// exit, then counter and clock again. The host's, written in that exit: its counter, and KVM's values for the
// vCPU's offset and for the KVM clock.
//   offset  The guest's counter at the host's stamp H is the host's counter plus KVM's offset. The guest's
//   two
//           pairs of counter and clock convert it to the guest's clock, so that KVM's offset yields an offset
//           of the clocks at H. No frequency is assumed. It should lie in the interval that causality leaves
//           at H.
//   clock   KVM's clock differs from the guest's CLOCK_MONOTONIC by a constant that only the guest knows. So
//           between the first and the last readings the two must not move apart by more than causality leaves
//           open.
// A single reading is disturbed by whatever interrupts it. So medians decide, and one bad reading has no
// effect. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/trace/clock/clock.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

enum class ClockAgreement : std::uint8_t { kAgrees, kDisagrees, kNotOffered };
[[nodiscard]] std::string_view name_of(ClockAgreement agreement);

struct ClockCheck {
  std::string_view id;  // "tsc_offset" or "kvm_clock"
  ClockAgreement agreement = ClockAgreement::kNotOffered;
  std::string why;  // for kNotOffered: what is missing
  std::size_t readings = 0, inside = 0;
  // Of the median reading; for kvm_clock, how far the two moved apart. difference = kvm - causal.
  std::optional<std::int64_t> causal_ns, half_width_ns, kvm_ns, difference_ns;
  std::int64_t outside_ns = 0;        // how far outside the interval; 0 if it agrees
  std::optional<std::int64_t> flags;  // as KVM_GET_CLOCK returned them
};

struct ClockChecks {
  ClockCheck tsc_offset, kvm_clock;
};

// `hull` is null if the trace has none.
[[nodiscard]] ClockChecks check_clocks(const Trace& trace, const ClockHull* hull);

}  // namespace glassbox::trace
