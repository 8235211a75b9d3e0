// Verdicts about the sleep of the network thread: what woke it, and whether work was ready while it slept.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "bpf/event_args.h"
#include "tools/trace/path/flows.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

// A sleep of this length with work ready is longer than a preemption between the work and the sleep explains.
constexpr std::int64_t kSleptOnNs = 1'000'000;

struct Poll {
  std::int64_t wait_ns = 0, wake_ns = 0;
  std::int64_t timeout_ms = 0, raw = 0;
  bool visible = false, kicked = false;

  [[nodiscard]] bool sleeps() const { return timeout_ms != 0; }
  // No event that has a handler: after a time-out, a signal, or an event of a closed socket.
  [[nodiscard]] bool timed_out() const { return raw == 0 && timeout_ms > 0; }
  [[nodiscard]] bool empty() const { return raw != 0 && !visible; }
};

// In order of their wake-ups. A poll that crosses the beginning or end of the trace is left out.
std::vector<Poll> polls_of(const Trace& trace) {
  std::vector<Poll> polls;
  std::unordered_map<std::uint32_t, std::int64_t> waiting;  // by thread
  for (const gb_event& e : trace.host.events) {
    if (e.kind == GB_KIND_net_poll_wait) waiting[e.tid] = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind != GB_KIND_net_poll_wake) continue;
    const auto began = waiting.find(e.tid);
    if (began == waiting.end()) continue;
    const auto& wake = args::net_poll_wake(e);
    polls.push_back({began->second, static_cast<std::int64_t>(e.ts_ns), wake.timeout_ms, wake.raw_events,
                     wake.visible_events != 0, wake.kicked != 0});
    waiting.erase(began);
  }
  return polls;
}

// Steps in which work is ready all the time, and that end when the network thread takes it: a frame, from the
// guest's transmit on; a reply or an end of file, from the server's call on. A step that begins anywhere else
// contains the time of whoever made the work. A wire to the server takes time of its own (over_wire).
bool is_frame_wait(const Step& s) {
  return slot_kind(s.from) == GB_KIND_guest_xmit && slot_kind(s.to) == GB_KIND_process_guest_frame_begin;
}
bool is_reply_wait(const Step& s) {
  return slot_kind(s.from) == GB_KIND_host_server_write_enter && slot_kind(s.to) == GB_KIND_host_recv;
}
bool is_eof_wait(const Step& s) {
  return slot_kind(s.from) == GB_KIND_host_server_shutdown && slot_kind(s.to) == GB_KIND_host_recv;
}

// The servers whose writes reach the NAT's socket at once, by the flows that they serve. What a server writes
// before the guest has sent anything counts for nothing: the NAT does not read before the guest's handshake
// is complete.
class Servers {
 public:
  explicit Servers(const Trace& trace) {
    const HostFlows flows(trace);
    for (const HostFlow& f : flows.flows())
      if (f.write_enter != nullptr && f.request_sent != nullptr && !f.over_wire)
        sockets_[f.flow] = {skaddr_of(*f.write_enter), static_cast<std::int64_t>(f.request_sent->ts_ns)};
    for (const gb_event& e : trace.host.events)
      if (e.kind == GB_KIND_host_server_write)
        writes_[skaddr_of(e)].push_back(static_cast<std::int64_t>(e.ts_ns));
  }
  // True if what the server of this flow does at t is ready for the NAT at once.
  [[nodiscard]] bool at_hand(std::uint64_t flow, std::int64_t t) const {
    const auto socket = sockets_.find(flow);
    return socket != sockets_.end() && t >= socket->second.request_ns;
  }
  // When the first write that returned at or after t returned.
  [[nodiscard]] std::optional<std::int64_t> written_after(std::uint64_t flow, std::int64_t t) const {
    if (!at_hand(flow, t)) return {};
    const auto writes = writes_.find(sockets_.at(flow).skaddr);
    if (writes == writes_.end()) return {};
    const auto done = std::lower_bound(writes->second.begin(), writes->second.end(), t);
    return done == writes->second.end() ? std::nullopt : std::optional(*done);
  }

 private:
  struct Socket {
    std::uint64_t skaddr;
    std::int64_t request_ns;  // the first request reached the host's socket
  };
  std::unordered_map<std::uint64_t, Socket> sockets_;                    // by flow
  std::unordered_map<std::uint64_t, std::vector<std::int64_t>> writes_;  // by socket, by time
};

// How many waits could be judged. A claim about all of them is not falsified by one kind alone.
struct Looked {
  std::size_t frames = 0, replies = 0;

  void settle(Verdict& v) const {
    v.evidence += fmt::format("; looked at {} frames and {} replies", frames, replies);
    if (v.outcome != Outcome::kFalsified || (frames > 0 && replies > 0)) return;
    v.outcome = Outcome::kNotTestable;
    if (frames == 0) v.evidence += "; missing: the guest's transmits";
    if (replies == 0) v.evidence += "; missing: the writes of a server whose replies need no wire";
  }
};

// The first poll that ends after t.
std::vector<Poll>::const_iterator after(const std::vector<Poll>& polls, std::int64_t t) {
  return std::upper_bound(polls.begin(), polls.end(), t,
                          [](std::int64_t at, const Poll& p) { return at < p.wake_ns; });
}

bool lacks_polls(const Trace& trace, const Attribution& a, Verdict& v) {
  if (a.cycles.empty())
    v.evidence = "no complete cycle in the trace";
  else if (!probe_listened(trace, GB_KIND_net_poll_wait) || !probe_listened(trace, GB_KIND_net_poll_wake))
    v.evidence = "missing: the probes net_poll_wait and net_poll_wake";
  return !v.evidence.empty();
}

}  // namespace

Verdict net_poll_timeout_verdict(const Trace& trace, const Attribution& a) {
  Verdict v{
      .id = "net_poll_timeout",
      .claim = "waiting for a poll time-out dominates the cycle",
      .criterion = share_criterion("frames and replies that wait for a poll's time-out or an empty wake"),
      .evidence = {}};
  if (lacks_polls(trace, a, v)) return v;
  const std::vector<Poll> polls = polls_of(trace);
  const Servers servers(trace);
  Looked looked;
  Held held;
  for (const CycleResult& c : a.cycles) {
    double& waits = held.emplace_back(0);
    for (const Step& s : c.path.steps) {
      const bool frame = is_frame_wait(s);
      if (!frame && !((is_reply_wait(s) || is_eof_wait(s)) && servers.at_hand(c.flow, s.begin_ns))) continue;
      ++(frame ? looked.frames : looked.replies);
      auto last = after(polls, s.end_ns);
      if (last == polls.begin()) continue;
      --last;  // the last wake-up before the step ended
      if (last->wake_ns > s.begin_ns && (last->timed_out() || last->empty()))
        waits += static_cast<double>(last->wake_ns - s.begin_ns);
    }
  }
  const auto timed_out =
      std::count_if(polls.begin(), polls.end(), [](const Poll& p) { return p.timed_out(); });
  const auto empty = std::count_if(polls.begin(), polls.end(), [](const Poll& p) { return p.empty(); });
  decide_by_share(
      v, held, a,
      fmt::format("{} polls, {} ended by time-out, {} empty wakes", polls.size(), timed_out, empty));
  looked.settle(v);
  return v;
}

Verdict missing_wake_verdict(const Trace& trace, const ClockReport& clock, const Attribution& a) {
  Verdict v{
      .id = "missing_wake",
      .claim = "the network thread sleeps while work is ready",
      .criterion = fmt::format("in >= {:.0f} % of the cycles a poll begins with work ready, sleeps >= {} ms "
                               "and is not woken by it",
                               kCyclesHit * 100, kSleptOnNs / 1'000'000),
      .evidence = {}};
  if (lacks_polls(trace, a, v)) return v;
  const std::vector<Poll> polls = polls_of(trace);
  const Servers servers(trace);
  Looked looked;
  std::size_t hit = 0;
  std::int64_t longest = 0;
  for (const CycleResult& c : a.cycles) {
    bool slept = false;
    for (const Step& s : c.path.steps) {
      const bool frame = is_frame_wait(s);
      std::int64_t ready = s.begin_ns + clock.bound_ns;
      if (!frame) {
        // A reply is ready when the server's write has returned. The end of file has no such event.
        const auto written = is_reply_wait(s) ? servers.written_after(c.flow, s.begin_ns) : std::nullopt;
        if (!written) continue;
        ready = *written;
      }
      ++(frame ? looked.frames : looked.replies);
      for (auto p = after(polls, ready); p != polls.end() && p->wake_ns <= s.end_ns; ++p) {
        // A kick that ended the sleep was late: that is the guest's time. A reply that ended it was not ready
        // before: the server's kernel had held it back.
        const bool woken_by_it =
            frame ? p->kicked
                  : p->visible && !p->kicked && (p + 1 == polls.end() || (p + 1)->wake_ns > s.end_ns);
        if (!p->sleeps() || p->wait_ns < ready || woken_by_it) continue;
        if (p->wake_ns - p->wait_ns < kSleptOnNs) continue;
        slept = true;
        longest = std::max(longest, p->wake_ns - p->wait_ns);
      }
    }
    hit += slept ? 1 : 0;
  }
  v.outcome = static_cast<double>(hit) >= kCyclesHit * static_cast<double>(a.cycles.size())
                  ? Outcome::kConfirmed
                  : Outcome::kFalsified;
  v.evidence = fmt::format("{} of {} cycles, longest {:.2f} ms", hit, a.cycles.size(),
                           static_cast<double>(longest) / 1e6);
  looked.settle(v);
  return v;
}

}  // namespace glassbox::trace
