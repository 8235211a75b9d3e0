// Verdicts about TCP segments of the traced connections: sent twice, or held for an acknowledgement.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "tools/trace/flows.h"
#include "tools/trace/verdicts.h"

namespace glassbox::trace {
namespace {

// RFC 6298: the first SYN is repeated after 1 s; Linux repeats data after 200 ms at the earliest. A call
// whose segment leaves that late lost its first copy before the driver saw it.
constexpr std::int64_t kSynRtoNs = 900'000'000, kDataRtoNs = 190'000'000;
// Linux delays acknowledgements by 40 to 200 ms (TCP_DELACK_MIN, TCP_DELACK_MAX).
constexpr std::int64_t kDelackMinNs = 35'000'000, kDelackMaxNs = 220'000'000;
// Nagle's algorithm sends at once when the acknowledgement is in.
constexpr std::int64_t kAckToSendNs = 5'000'000;

constexpr std::uint64_t kFin = 1, kSyn = 2, kPsh = 8;
constexpr std::uint64_t kMaxBareFrame = 14 + 40 + 60;  // as in flows.cc

bool takes_sequence_space(std::uint64_t flags, std::uint64_t payload) {
  return (flags & (kFin | kSyn)) != 0 || payload > 0;
}

// Frames with the same connection, sequence number, flags and length beyond the first.
std::size_t repeated(const Trace& trace, bool guest_traced, std::size_t& looked_at) {
  std::map<std::array<std::uint64_t, 4>, std::size_t> sent;
  std::size_t again = 0;
  const auto count = [&](std::uint64_t connection, std::uint64_t seq, std::uint64_t flags,
                         std::uint64_t len) {
    ++looked_at;
    if (sent[{connection, seq, flags, len}]++ > 0) ++again;
  };
  for (const gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_xmit && takes_sequence_space(e.arg[4], e.arg[9]))
      count(e.arg[0] << 16 | e.arg[1], e.arg[2], e.arg[4], e.arg[3]);
  constexpr std::uint64_t kFromNat = std::uint64_t{1} << 62, kAtNat = std::uint64_t{1} << 63;
  for (const gb_event& e : trace.host.events) {
    // A frame for the guest has no payload length: PSH or its size tells.
    if (e.kind == GB_KIND_rx_inject && e.arg[0] != 0 &&
        takes_sequence_space(e.arg[3], (e.arg[3] & kPsh) != 0 || e.arg[2] > kMaxBareFrame ? 1 : 0))
      count(kFromNat | e.arg[0], e.arg[1], e.arg[3], e.arg[2]);
    if (!guest_traced && e.kind == GB_KIND_process_guest_frame && e.arg[0] != 0 &&
        takes_sequence_space(e.arg[4], (e.arg[4] & kPsh) != 0 || e.arg[5] > kMaxBareFrame ? 1 : 0))
      count(kAtNat | e.arg[0], e.arg[1], e.arg[4], e.arg[5]);
  }
  return again;
}

// Calls whose segment left a retransmission time-out late.
std::size_t lost_before_the_driver(const Attribution& a) {
  std::size_t lost = 0;
  for (const CycleResult& c : a.cycles)
    for (const Step& s : c.path.steps) {
      const std::int64_t ns = s.end_ns - s.begin_ns;
      if ((s.to == Slot::syn_xmit && ns >= kSynRtoNs) || (s.to == Slot::request_xmit && ns >= kDataRtoNs))
        ++lost;
    }
  return lost;
}

using Times = std::vector<std::int64_t>;

struct Connection {
  Times sends, data, acks;  // by time
};

// Guest time: how long its sends were held until an acknowledgement came in.
double held_in_the_guest(const Trace& trace, std::size_t& waits) {
  std::unordered_map<std::uint64_t, Connection> connections;
  const auto key = [](std::uint64_t local, std::uint64_t peer) { return local << 16 | peer; };
  for (const gb_event& e : trace.guest.events) {
    const auto t = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_guest_send && e.arg[1] > 0)
      connections[key(e.arg[2], e.arg[3])].sends.push_back(t);
    else if (e.kind == GB_KIND_guest_xmit && e.arg[9] > 0)
      connections[key(e.arg[0], e.arg[1])].data.push_back(t);
    else if (e.kind == GB_KIND_guest_receive && e.arg[9] == 0 && (e.arg[4] & (kFin | kSyn)) == 0)
      connections[key(e.arg[0], e.arg[1])].acks.push_back(t);
  }
  double held = 0;
  for (const auto& [ports, c] : connections) {
    std::int64_t counted_to = 0;
    for (const std::int64_t send : c.sends) {
      const auto out = std::upper_bound(c.data.begin(), c.data.end(), send);
      if (out == c.data.end()) continue;
      const std::int64_t wait = *out - send;
      if (wait < kDelackMinNs || wait > kDelackMaxNs || send < counted_to) continue;
      const auto ack = std::lower_bound(c.acks.begin(), c.acks.end(), *out - kAckToSendNs);
      if (ack == c.acks.end() || *ack > *out) continue;
      held += static_cast<double>(wait);
      counted_to = *out;
      ++waits;
    }
  }
  return held;
}

// The server's write returned, and the NAT's socket had it that much later: the server's own kernel held it
// for an acknowledgement of what it had sent before.
double held_at_the_server(const Attribution& a, std::size_t& waits) {
  double held = 0;
  for (const CycleResult& c : a.cycles)
    for (const Step& s : c.path.steps) {
      const std::int64_t ns = s.end_ns - s.begin_ns;
      if (s.from != Slot::server_write_enter || s.to != Slot::reply_recv) continue;
      if (ns < kDelackMinNs || ns > kDelackMaxNs) continue;
      held += static_cast<double>(ns);
      ++waits;
    }
  return held;
}

bool guest_is_traced(const Trace& trace) {
  return std::any_of(trace.guest.events.begin(), trace.guest.events.end(),
                     [](const gb_event& e) { return e.kind == GB_KIND_guest_xmit; });
}

}  // namespace

Verdict retransmission_verdict(const Trace& trace, const Attribution& a) {
  Verdict v{.id = "retransmission",
            .claim = "segments are sent again",
            .criterion =
                "a SYN, FIN or payload of one flow and sequence number seen twice, or sent a "
                "retransmission time-out after the call",
            .evidence = {}};
  if (!guest_is_traced(trace) && !probe_listened(trace, GB_KIND_process_guest_frame)) {
    v.evidence = "missing: guest_xmit events or the probe process_guest_frame";
    return v;
  }
  std::size_t looked_at = 0;
  const std::size_t again = repeated(trace, guest_is_traced(trace), looked_at);
  const std::size_t lost = lost_before_the_driver(a);
  v.outcome = again + lost > 0 ? Outcome::kConfirmed : Outcome::kFalsified;
  v.evidence = fmt::format("{} of {} segments seen twice, {} sent a time-out late", again, looked_at, lost);
  return v;
}

Verdict delayed_ack_verdict(const Trace& trace, const Attribution& a) {
  Verdict v{.id = "delayed_ack",
            .claim = "payload waits for a delayed acknowledgement",
            .criterion = share_criterion("sends held for 35 to 220 ms until an acknowledgement"),
            .evidence = {}};
  if (a.cycles.empty()) {
    v.evidence = "no complete cycle in the trace";
    return v;
  }
  if (!guest_is_traced(trace)) {
    v.evidence = "missing: the guest's send, transmit and receive events";
    return v;
  }
  std::size_t guest = 0, server = 0;
  const double held = held_in_the_guest(trace, guest) + held_at_the_server(a, server);
  decide_by_share(v, held, a, fmt::format("{} sends in the guest, {} at the server", guest, server));
  return v;
}

}  // namespace glassbox::trace
