// Did cycles wait for retransmissions?
//
// A segment that was sent twice is not enough: if the host's connect() takes more than a second, the guest
// sends its SYN again, and nothing was lost. The claim is that a copy was lost and the cycle waited for the
// next one. So the copy must have been sent while the path waited for a frame to cross, and the far end must
// have received fewer copies than were sent.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "tools/trace/path/traffic.h"
#include "tools/trace/text/text.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

using Frame = CycleTraffic::Frame;
using Frames = std::vector<Frame>;

// The first SYN is repeated after 1 s (RFC 6298, 2.1); Linux repeats data after 200 ms at the earliest. If
// the segment of a call leaves that late, its first copy was lost before the driver saw it.
constexpr std::int64_t kSynRtoNs = 900'000'000, kDataRtoNs = 190'000'000;

// The frames sorted so that copies of one are adjacent: a connection may have millions of frames, too many to
// compare each with all others.
class Copies {
 public:
  explicit Copies(Frames frames) : frames_(std::move(frames)) {
    std::sort(frames_.begin(), frames_.end(), before);
  }
  [[nodiscard]] std::size_t of(const Frame& frame, std::int64_t until_ns) const {
    const auto at = [&frame](std::int64_t ns) { return Frame{ns, frame.seq, frame.marks}; };
    const auto first = std::lower_bound(frames_.begin(), frames_.end(), at(INT64_MIN), before);
    return static_cast<std::size_t>(std::upper_bound(first, frames_.end(), at(until_ns), before) - first);
  }

 private:
  static bool before(const Frame& a, const Frame& b) {
    return std::tie(a.seq, a.marks, a.at_ns) < std::tie(b.seq, b.marks, b.at_ns);
  }
  Frames frames_;
};

std::size_t repeated(const Frames& frames, const Copies& copies) {
  return static_cast<std::size_t>(std::count_if(
      frames.begin(), frames.end(), [&copies](const Frame& f) { return copies.of(f, f.at_ns) > 1; }));
}

// `got` extends beyond the cycle, so that copies that arrive late count (traffic.h).
struct Direction {
  const Frames& sent;
  const Copies& copies;  // of `sent`
  const Copies* got;     // null: the far end was not traced, and a second copy counts as a loss
};

// How long the step waited, from its beginning, until a lost copy was sent again; 0 if it did not.
std::int64_t waited_ns(const Step& step, const Direction& d) {
  std::int64_t waited = 0;
  for (const Frame& f : d.sent) {
    if (f.at_ns <= step.begin_ns || f.at_ns > step.end_ns) continue;
    const std::size_t sent = d.copies.of(f, step.end_ns);
    if (sent < 2 || d.copies.of(f, f.at_ns) < 2) continue;
    if (d.got != nullptr && d.got->of(f, INT64_MAX) >= sent) continue;
    waited = std::max(waited, f.at_ns - step.begin_ns);
  }
  return waited;
}

// The steps in which something crosses the wire to the server, or back.
bool uses_the_wire(const Step& s) {
  switch (slot_kind(s.to)) {
    case GB_KIND_tcp_connect_done:
    case GB_KIND_host_accept:
    case GB_KIND_host_server_read_enter:
    case GB_KIND_host_server_read:
    case GB_KIND_host_recv:
      return !is_guest_slot(s.from);
    default:
      return false;
  }
}

// How long the cycle waited until one of the two ends of the wire sent a segment again.
std::int64_t waited_on_the_wire_ns(const CycleResult& c, const Wire& wire) {
  std::int64_t waited = 0;
  if (!wire.crosses(c.flow)) return waited;
  for (const Step& s : c.path.steps)
    if (const auto again = wire.resent(c.flow, s.begin_ns, s.end_ns); again && uses_the_wire(s))
      waited += *again - s.begin_ns;
  return waited;
}

std::int64_t waited_ns(const CycleResult& c, const Direction& out, const Direction& in) {
  std::int64_t waited = 0;
  for (const Step& s : c.path.steps) {
    const std::int64_t ns = s.end_ns - s.begin_ns;
    if ((s.to == Slot::syn_xmit && ns >= kSynRtoNs) || (s.to == Slot::request_xmit && ns >= kDataRtoNs))
      waited += ns;
    else if (s.segment != Segment::kUnattributed && segment_info(s.segment).side == Where::cross)
      waited += std::max(waited_ns(s, out), waited_ns(s, in));
  }
  return waited;
}

}  // namespace

Verdict retransmission_verdict(const Trace& trace, const ClockReport& clock, const Attribution& a,
                               const Wire& wire) {
  Verdict v{.id = "retransmission",
            .claim = "cycles wait for retransmissions",
            .criterion =
                "a cycle waits for a SYN, FIN or payload whose earlier copy was lost: sent again on its "
                "path, on either side of the NAT, or sent a retransmission time-out after the call",
            .evidence = {}};
  const Traffic traffic(trace, clock);
  if (!traffic.guest_is_traced() && !probe_listened(trace, GB_KIND_process_guest_frame)) {
    v.evidence = "missing: guest_xmit events or the probe process_guest_frame";
    return v;
  }
  if (a.cycles.empty()) {
    v.evidence = "no complete cycle in the trace";
    return v;
  }
  std::size_t looked_at = 0, again = 0, hit = 0;
  double waited = 0;  // a double: times that a guest reports may overflow 64 bits
  for (const CycleResult& c : a.cycles) {
    const CycleTraffic t = traffic.of(c);
    // What the guest sent; if it was not traced, what arrived of that.
    const bool traced = traffic.guest_is_traced();
    const Frames& sent = traced ? t.guest_sent : t.nat_got;
    const Copies of_sent(sent), of_nat_sent(t.nat_sent), of_nat_got(t.nat_got), of_guest_got(t.guest_got);
    looked_at += sent.size() + t.nat_sent.size();
    again += repeated(sent, of_sent) + repeated(t.nat_sent, of_nat_sent);
    const std::int64_t ns = waited_ns(c, {sent, of_sent, traced ? &of_nat_got : nullptr},
                                      {t.nat_sent, of_nat_sent, traced ? &of_guest_got : nullptr}) +
                            waited_on_the_wire_ns(c, wire);
    waited += static_cast<double>(ns);
    hit += ns > 0 ? 1 : 0;
  }
  v.outcome = hit > 0 ? Outcome::kConfirmed : Outcome::kFalsified;
  v.evidence = fmt::format("{} of {} cycles waited, {} in all; {} of {} segments seen twice", hit,
                           a.cycles.size(), format_time(whole_ns(waited)), again, looked_at);
  if (v.outcome == Outcome::kFalsified && wire.crosses_any() && !wire.sees_resends()) {
    v.outcome = Outcome::kNotTestable;
    v.evidence += fmt::format("; missing: what was sent again on the wire to the server ({} of the host)",
                              Wire::kResendHook);
  }
  return v;
}

}  // namespace glassbox::trace
