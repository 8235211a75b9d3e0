// Whether cycles waited for segments that had to be sent again.
//
// That a segment was seen twice is not the point: a guest whose SYN gets no answer for a second, since the
// host's connect() takes that long, sends it again, and nothing was lost. The claim is that a copy went
// missing and the cycle waited for the next one. So the repetition must lie where the path waits for a frame
// to come across, and the far end must have got fewer copies than were sent.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "tools/trace/path/traffic.h"
#include "tools/trace/report/report.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

using Frame = CycleTraffic::Frame;
using Frames = std::vector<Frame>;

// RFC 6298: the first SYN is repeated after 1 s; Linux repeats data after 200 ms at the earliest. A call
// whose segment leaves that late lost its first copy before the driver saw it.
constexpr std::int64_t kSynRtoNs = 900'000'000, kDataRtoNs = 190'000'000;

// The frames in an order in which the copies of one lie side by side: a connection may have millions, and a
// search through all of them for each would never end.
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

// Copies that arrive late count too (traffic.h): `got` goes on beyond the cycle.
struct Direction {
  const Frames& sent;
  const Copies& copies;  // of `sent`
  const Copies* got;     // null: that end was not traced, so a repetition is taken for a loss
};

// Until when the step waited for a lost copy to be sent again, from its begin; 0: it did not.
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

Verdict retransmission_verdict(const Trace& trace, const ClockReport& clock, const Attribution& a) {
  Verdict v{.id = "retransmission",
            .claim = "cycles wait for segments to be sent again",
            .criterion =
                "a cycle waits for a SYN, FIN or payload whose earlier copy was lost: sent again on its "
                "path, or sent a retransmission time-out after the call",
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
  double waited = 0;  // of cycles that a guest tells of: their sum may be any
  for (const CycleResult& c : a.cycles) {
    const CycleTraffic t = traffic.of(c);
    // The guest's own list of what it sent, or what arrived of that.
    const bool traced = traffic.guest_is_traced();
    const Frames& sent = traced ? t.guest_sent : t.nat_got;
    const Copies of_sent(sent), of_nat_sent(t.nat_sent), of_nat_got(t.nat_got), of_guest_got(t.guest_got);
    looked_at += sent.size() + t.nat_sent.size();
    again += repeated(sent, of_sent) + repeated(t.nat_sent, of_nat_sent);
    const std::int64_t ns = waited_ns(c, {sent, of_sent, traced ? &of_nat_got : nullptr},
                                      {t.nat_sent, of_nat_sent, traced ? &of_guest_got : nullptr});
    waited += static_cast<double>(ns);
    hit += ns > 0 ? 1 : 0;
  }
  v.outcome = hit > 0 ? Outcome::kConfirmed : Outcome::kFalsified;
  v.evidence = fmt::format("{} of {} cycles waited, {} in all; {} of {} segments seen twice", hit,
                           a.cycles.size(), format_time(whole_ns(waited)), again, looked_at);
  return v;
}

}  // namespace glassbox::trace
