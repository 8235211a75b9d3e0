// Verdicts: the usual suspects, each held against the trace by a numeric criterion.
//
// Theory of operation. A verdict is a claim ("the server is late to accept()"), a criterion that was fixed
// before the trace was looked at, and the figures that decide. Three kinds of criteria:
//   share    the time in which the claim holds, over the time of all complete cycles, is at least kShare; or,
//            where the slower half of the cycles takes much longer than the faster (kSlower), it is at least
//            kContrast of what they take more: a delay that every second cycle has is the cause of the
//            difference though its share of the whole may be small
//   count    it happened at all (a cycle waited for a retransmission, a flow was refused: none belongs into a
//            healthy run)
//   cycles   it happened in at least kCyclesHit of the cycles
// What the criterion needs and the trace does not have makes it "not testable here", with what is missing; no
// verdict is guessed. Several claims can be confirmed at once, or none: the table stays the whole, verdicts
// are an index into it.
//
// The thresholds lie in the gap that delays made on purpose leave (tests/delays; VERDICTS.md has the
// figures): the right claim has 48 % of the time and more, and 73 % of the difference, every other less than
// 5 % of either.
//
// A wait that no row of the table names by itself is charged here from the boundaries around it: the network
// thread's polls (poll_verdicts.cc), the segments of a connection (resend_verdict.cc,
// delayed_ack_verdict.cc), the host's scheduler (sched_verdicts.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"

namespace glassbox::trace {

enum class Outcome : std::uint8_t { kConfirmed, kFalsified, kNotTestable };
[[nodiscard]] std::string_view name_of(Outcome outcome);  // "not testable here" for the last

struct Verdict {
  std::string_view id;     // stable, for scripts
  std::string_view claim;  // for people
  std::string criterion;
  Outcome outcome = Outcome::kNotTestable;
  std::string evidence;  // the figures, or what is missing
};

inline constexpr double kShare = 0.25;
inline constexpr double kContrast = 0.5, kSlower = 1.5;
inline constexpr double kCyclesHit = 0.05;

// All of them, in a fixed order.
[[nodiscard]] std::vector<Verdict> compute_verdicts(const Trace& trace, const ClockReport& clock,
                                                    const Attribution& cycles, const CycleStates& states);

// The parts, for compute_verdicts().
[[nodiscard]] Verdict net_poll_timeout_verdict(const Trace& trace, const Attribution& cycles);
[[nodiscard]] Verdict missing_wake_verdict(const Trace& trace, const ClockReport& clock,
                                           const Attribution& cycles);
[[nodiscard]] Verdict flow_table_verdict(const Trace& trace);
[[nodiscard]] Verdict retransmission_verdict(const Trace& trace, const ClockReport& clock,
                                             const Attribution& cycles);
[[nodiscard]] Verdict vcpu_scheduling_verdict(const CycleStates& states, const Attribution& cycles);
[[nodiscard]] Verdict net_scheduling_verdict(const CycleStates& states, const Attribution& cycles);
[[nodiscard]] Verdict delayed_ack_verdict(const Trace& trace, const ClockReport& clock,
                                          const Attribution& cycles);

// Helpers of the parts.
// For how long a claim held, nanoseconds by cycle of the attribution.
using Held = std::vector<double>;
// Decides by share: "12.3 % of the cycles' time (0.98 ms a cycle)", then `detail` if there is one.
void decide_by_share(Verdict& verdict, const Held& held_ns, const Attribution& cycles,
                     std::string_view detail = {});
[[nodiscard]] std::string share_criterion(std::string_view what);
// True if the trace can have events of this probe: it has some, or its hook was attached.
[[nodiscard]] bool probe_listened(const Trace& trace, std::uint16_t kind);

}  // namespace glassbox::trace
