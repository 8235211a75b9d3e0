// Did payload wait until the other end acknowledged earlier data? Nagle's algorithm (RFC 1122, 4.2.3.4) holds
// it back, and a delayed acknowledgement (4.2.3.2) makes the wait long.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "bpf/event_args.h"
#include "tools/trace/path/traffic.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

// Linux delays acknowledgements by 40 to 200 ms (TCP_DELACK_MIN, TCP_DELACK_MAX).
constexpr std::int64_t kDelackMinNs = 35'000'000, kDelackMaxNs = 220'000'000;
// Nagle's algorithm sends at once when the acknowledgement arrives.
constexpr std::int64_t kAckToSendNs = 5'000'000;

bool is_delayed_ack(std::int64_t ns) {
  return ns >= kDelackMinNs && ns <= kDelackMaxNs;
}

// The time of the guest's sends whose segment left when an acknowledgement arrived; counts them in `waits`.
std::int64_t held_in_the_guest(const CycleTraffic& t, std::size_t& waits) {
  std::int64_t held = 0, counted_to = INT64_MIN;
  std::vector<std::int64_t> payloads;  // when each left, by time
  for (const CycleTraffic::Frame& f : t.guest_sent)
    if (f.has_payload()) payloads.push_back(f.at_ns);
  for (const std::int64_t send : t.guest_sends) {
    const auto out = std::upper_bound(payloads.begin(), payloads.end(), send);
    if (out == payloads.end()) continue;
    const std::int64_t left = *out;
    if (!is_delayed_ack(left - send) || send < counted_to) continue;
    const auto ack = std::lower_bound(t.acks_to_guest.begin(), t.acks_to_guest.end(), left - kAckToSendNs);
    if (ack == t.acks_to_guest.end() || *ack > left) continue;
    held += left - send;
    counted_to = left;
    ++waits;
  }
  return held;
}

using Writes = std::unordered_map<std::uint64_t, std::vector<std::int64_t>>;

// When the server's writes returned, by socket.
Writes writes_of(const Trace& trace) {
  Writes out;
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_host_server_write) out[skaddr_of(e)].push_back(static_cast<std::int64_t>(e.ts_ns));
  return out;
}

// The time between the return of the server's write and the arrival of its payload at the NAT's socket, if it
// has the length of a delayed acknowledgement: the server's kernel held the payload back. What the wire takes
// does not count; where that is not known, or a segment was lost, nothing does.
std::int64_t held_at_the_server(const CycleResult& c, const HostFlow* flow, const Writes& writes,
                                const Wire& wire, std::size_t& waits) {
  std::int64_t held = 0;
  const std::optional<std::int64_t> travel = wire.crosses(c.flow) ? wire.travel_ns(c.flow) : 0;
  if (!travel) return held;
  const auto count = [&](std::int64_t from, std::int64_t to) {
    from += *travel;
    if (!is_delayed_ack(to - from) || wire.resent(c.flow, from, to)) return;
    held += to - from;
    ++waits;
  };
  for (const Step& s : c.path.steps) {
    if (s.from == Slot::server_write_enter && s.to == Slot::reply_recv) count(s.begin_ns, s.end_ns);
    if (s.to != Slot::rest_recv || flow == nullptr || flow->write_enter == nullptr) continue;
    const auto list = writes.find(skaddr_of(*flow->write_enter));
    if (list == writes.end()) continue;
    const auto after = std::upper_bound(list->second.begin(), list->second.end(), s.end_ns);
    if (after != list->second.begin()) count(std::max(s.begin_ns, *(after - 1)), s.end_ns);
  }
  return held;
}

}  // namespace

Verdict delayed_ack_verdict(const Trace& trace, const ClockReport& clock, const Attribution& a,
                            const Wire& wire) {
  Verdict v{.id = "delayed_ack",
            .claim = "delayed acknowledgements dominate the cycle",
            .criterion = share_criterion("sends held for 35 to 220 ms until an acknowledgement"),
            .evidence = {}};
  if (a.cycles.empty()) {
    v.evidence = "no complete cycle in the trace";
    return v;
  }
  const Traffic traffic(trace, clock);
  const Writes writes = writes_of(trace);
  std::size_t guest = 0, server = 0;
  Held held;
  for (const CycleResult& c : a.cycles)
    held.push_back(static_cast<double>(held_in_the_guest(traffic.of(c), guest) +
                                       held_at_the_server(c, traffic.flow(c.flow), writes, wire, server)));
  decide_by_share(v, held, a, fmt::format("{} sends in the guest, {} at the server", guest, server));
  if (v.outcome == Outcome::kFalsified && !traffic.guest_is_traced()) {
    v.outcome = Outcome::kNotTestable;
    v.evidence += "; missing: the guest's send, transmit and receive events";
  }
  return v;
}

}  // namespace glassbox::trace
