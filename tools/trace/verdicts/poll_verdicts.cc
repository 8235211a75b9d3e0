// Verdicts about the sleep of the network thread: what woke it, and whether work was ready while it slept.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

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

// Steps that end when the network thread takes a frame, or payload of a socket, that was ready for it.
bool is_frame_wait(const Step& s) {
  return s.to == Slot::syn_frame || s.to == Slot::request_frame || s.to == Slot::fin_frame;
}
bool is_socket_wait(const Step& s) {
  return (s.to == Slot::reply_recv && s.from == Slot::server_write_enter) ||
         (s.to == Slot::eof_recv && s.from == Slot::server_close);
}

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
  Held held;
  for (const CycleResult& c : a.cycles) {
    double& waits = held.emplace_back(0);
    for (const Step& s : c.path.steps) {
      if (!is_frame_wait(s) && !is_socket_wait(s)) continue;
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
  // A reply is ready when the server's write has returned. Only the wait for a reply has this event.
  std::unordered_map<std::uint64_t, std::int64_t> written;  // by flow
  const HostFlows flows(trace);
  std::unordered_map<std::uint64_t, std::vector<std::int64_t>> writes;  // by socket, returns
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_host_server_write)
      writes[skaddr_of(e)].push_back(static_cast<std::int64_t>(e.ts_ns));
  for (const HostFlow& f : flows.flows()) {
    if (f.write_enter == nullptr) continue;
    const auto& list = writes[skaddr_of(*f.write_enter)];
    const auto done =
        std::lower_bound(list.begin(), list.end(), static_cast<std::int64_t>(f.write_enter->ts_ns));
    if (done != list.end()) written[f.flow] = *done;
  }
  std::size_t hit = 0;
  std::int64_t longest = 0;
  for (const CycleResult& c : a.cycles) {
    bool slept = false;
    for (const Step& s : c.path.steps) {
      const bool frame = is_frame_wait(s);
      if (!frame && !(is_socket_wait(s) && s.to == Slot::reply_recv)) continue;
      std::int64_t ready = s.begin_ns + clock.bound_ns;
      if (!frame) {
        const auto done = written.find(c.flow);
        if (done == written.end()) continue;
        ready = done->second;
      }
      for (auto p = after(polls, ready); p != polls.end() && p->wake_ns <= s.end_ns; ++p) {
        // A kick that ended the sleep was late: that is the guest's time.
        if (!p->sleeps() || p->wait_ns < ready || (frame && p->kicked)) continue;
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
  return v;
}

}  // namespace glassbox::trace
