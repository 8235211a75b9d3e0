// Whether cycles waited for segments that had to be sent again.
//
// That a segment was seen twice is not the point: a guest whose SYN gets no answer for a second, since the
// host's connect() takes that long, sends it again, and nothing was lost. The claim is that a copy went
// missing and the cycle waited for the next one. So the repetition must lie where the path waits for a frame
// to come across, and the far end must have got fewer copies than were sent.
#include <fmt/format.h>

#include <algorithm>

#include "tools/trace/report.h"
#include "tools/trace/traffic.h"
#include "tools/trace/verdicts.h"

namespace glassbox::trace {
namespace {

using Frame = CycleTraffic::Frame;
using Frames = std::vector<Frame>;

// RFC 6298: the first SYN is repeated after 1 s; Linux repeats data after 200 ms at the earliest. A call
// whose segment leaves that late lost its first copy before the driver saw it.
constexpr std::int64_t kSynRtoNs = 900'000'000, kDataRtoNs = 190'000'000;

std::size_t copies(const Frames& frames, const Frame& of, std::int64_t until_ns) {
  return static_cast<std::size_t>(std::count_if(
      frames.begin(), frames.end(), [&](const Frame& f) { return f.same(of) && f.at_ns <= until_ns; }));
}

std::size_t repeated(const Frames& frames) {
  std::size_t again = 0;
  for (const Frame& f : frames)
    again += copies(frames, f, f.at_ns) > 1 ? 1 : 0;
  return again;
}

// Copies that arrive late count too (traffic.h): `got` goes on beyond the cycle.
struct Direction {
  const Frames& sent;
  const Frames* got;  // null: that end was not traced, so a repetition is taken for a loss
};

// Until when the step waited for a lost copy to be sent again, from its begin; 0: it did not.
std::int64_t waited_ns(const Step& step, const Direction& d) {
  std::int64_t waited = 0;
  for (const Frame& f : d.sent) {
    if (f.at_ns <= step.begin_ns || f.at_ns > step.end_ns) continue;
    const std::size_t sent = copies(d.sent, f, step.end_ns);
    if (sent < 2 || copies(d.sent, f, f.at_ns) < 2) continue;
    if (d.got != nullptr && copies(*d.got, f, INT64_MAX) >= sent) continue;
    waited = std::max(waited, f.at_ns - step.begin_ns);
  }
  return waited;
}

std::int64_t waited_ns(const CycleResult& c, const CycleTraffic& t, bool guest_is_traced) {
  // The guest's own list of what it sent, or what arrived of that.
  const Direction out = guest_is_traced ? Direction{t.guest_sent, &t.nat_got} : Direction{t.nat_got, nullptr};
  const Direction in{t.nat_sent, guest_is_traced ? &t.guest_got : nullptr};
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
  std::int64_t waited = 0;
  for (const CycleResult& c : a.cycles) {
    const CycleTraffic t = traffic.of(c);
    const Frames& out = traffic.guest_is_traced() ? t.guest_sent : t.nat_got;
    looked_at += out.size() + t.nat_sent.size();
    again += repeated(out) + repeated(t.nat_sent);
    const std::int64_t ns = waited_ns(c, t, traffic.guest_is_traced());
    waited += ns;
    hit += ns > 0 ? 1 : 0;
  }
  v.outcome = hit > 0 ? Outcome::kConfirmed : Outcome::kFalsified;
  v.evidence = fmt::format("{} of {} cycles waited, {} in all; {} of {} segments seen twice", hit,
                           a.cycles.size(), format_time(waited), again, looked_at);
  return v;
}

}  // namespace glassbox::trace
