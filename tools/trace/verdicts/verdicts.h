// Verdicts: claims about the usual suspects, each held to a numeric criterion.
//
// Theory of operation. A verdict is a claim ("the server's late accept() dominates the cycle"), a criterion
// that was fixed before the trace was looked at, and the figures that decide. There are three kinds of
// criteria:
//   share    the time in which the claim holds is at least kShare of the time of all complete cycles; or, if
//   the
//            slower half of the cycles takes kSlower times the time of the faster half, it is at least
//            kContrast of the difference. A delay in every second cycle causes the whole difference, although
//            its share of all time may be small
//   count    it happened at all (a cycle waited for a retransmission, a flow was refused): a healthy run has
//   none cycles   it happened in at least kCyclesHit of the cycles
// If the trace lacks what a criterion needs, the outcome is "not testable here", with what is missing. No
// verdict is guessed, and a claim is falsified only where the trace would have shown it. Several claims can
// be confirmed at once, or none: verdicts are an index into the table.
//
// The thresholds lie in the gap that known delays leave (tests/delays; figures in VERDICTS.md): a right claim
// has at least 48 % of the time and 73 % of the difference, a wrong one less than 5 % of either.
//
// Most verdicts sum rows of the table. Waits that have no row of their own are computed from the events
// around them: the network thread's polls (poll_verdicts.cc), the segments of a connection
// (resend_verdict.cc, delayed_ack_verdict.cc), the scheduler (sched_verdicts.cc). What a wire between the NAT
// and the server takes (wire.h) is no time of the server. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"
#include "tools/trace/verdicts/wire.h"

namespace glassbox::trace {

enum class Outcome : std::uint8_t { kConfirmed, kFalsified, kNotTestable };
[[nodiscard]] std::string_view name_of(Outcome outcome);  // "not testable here" for the last

struct Verdict {
  std::string_view id;     // stable, for scripts
  std::string_view claim;  // for people; at most 51 characters, the width of its column
  std::string criterion;
  Outcome outcome = Outcome::kNotTestable;
  std::string evidence;  // the figures, or what is missing
};

inline constexpr double kShare = 0.25;
inline constexpr double kContrast = 0.5, kSlower = 1.5;
inline constexpr double kCyclesHit = 0.05;

// All verdicts but probe_tax (tax.h), in a fixed order.
[[nodiscard]] std::vector<Verdict> compute_verdicts(const Trace& trace, const ClockReport& clock,
                                                    const Attribution& cycles, const CycleStates& states);

// One verdict each; compute_verdicts() calls them.
[[nodiscard]] Verdict net_poll_timeout_verdict(const Trace& trace, const Attribution& cycles);
[[nodiscard]] Verdict missing_wake_verdict(const Trace& trace, const ClockReport& clock,
                                           const Attribution& cycles);
[[nodiscard]] Verdict flow_table_verdict(const Trace& trace);
[[nodiscard]] Verdict retransmission_verdict(const Trace& trace, const ClockReport& clock,
                                             const Attribution& cycles, const Wire& wire);
[[nodiscard]] Verdict vcpu_scheduling_verdict(const CycleStates& states, const Attribution& cycles);
[[nodiscard]] Verdict net_scheduling_verdict(const CycleStates& states, const Attribution& cycles);
[[nodiscard]] Verdict server_scheduling_verdict(const CycleStates& states, const Attribution& cycles);
[[nodiscard]] Verdict delayed_ack_verdict(const Trace& trace, const ClockReport& clock,
                                          const Attribution& cycles, const Wire& wire);

// Helpers of these functions.
// How long a claim held, in ns, for each cycle of the attribution.
using Held = std::vector<double>;
// Decides by share and states the figures: "12.3 % of the cycles' time, 980 us a cycle", then `detail`.
void decide_by_share(Verdict& verdict, const Held& held_ns, const Attribution& cycles,
                     std::string_view detail = {});
// The criterion of decide_by_share(), with `what` in front.
[[nodiscard]] std::string share_criterion(std::string_view what);
// True if the trace can contain events of this kind: it has some, or their hook was attached.
[[nodiscard]] bool probe_listened(const Trace& trace, std::uint16_t kind);

}  // namespace glassbox::trace
