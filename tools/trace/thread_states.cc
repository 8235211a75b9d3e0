#include "tools/trace/thread_states.h"

#include <algorithm>
#include <set>

namespace glassbox::trace {

ThreadStates::ThreadStates(const Trace& trace) {
  for (const gb_event& e : trace.host.events) {
    const auto tid = static_cast<std::uint32_t>(e.arg[0]);
    const auto at = static_cast<std::int64_t>(e.ts_ns);
    switch (e.kind) {
      case GB_KIND_host_sched_out:
        by_tid_[tid].push_back({at, e.arg[2] == 0 ? ThreadState::kRunnable : ThreadState::kBlocked});
        break;
      case GB_KIND_host_sched_in:
        by_tid_[tid].push_back({at, ThreadState::kRunning});
        break;
      case GB_KIND_host_sched_wakeup: {
        // A thread that is woken on its way to sleep stays on its CPU: only a sleeper becomes runnable.
        std::vector<Change>& changes = by_tid_[tid];
        if (changes.empty() || changes.back().state == ThreadState::kBlocked)
          changes.push_back({at, ThreadState::kRunnable});
        break;
      }
      default:
        break;
    }
  }
}

StateSplit ThreadStates::split(std::uint32_t tid, std::int64_t begin_ns, std::int64_t end_ns) const {
  StateSplit out{};
  const auto found = by_tid_.find(tid);
  std::int64_t at = begin_ns;
  ThreadState state = ThreadState::kUnknown;
  if (found != by_tid_.end()) {
    const std::vector<Change>& changes = found->second;
    auto next = std::upper_bound(changes.begin(), changes.end(), begin_ns,
                                 [](std::int64_t t, const Change& c) { return t < c.at_ns; });
    if (next != changes.begin()) state = (next - 1)->state;
    for (; next != changes.end() && next->at_ns < end_ns; ++next) {
      out[static_cast<std::size_t>(state)] += next->at_ns - at;
      at = next->at_ns;
      state = next->state;
    }
  }
  out[static_cast<std::size_t>(state)] += end_ns - at;
  return out;
}

Actor actor_of(Segment segment) {
  switch (segment) {
    case Segment::kick_syn:
    case Segment::nat_syn:
    case Segment::host_connect:
    case Segment::nat_syn_ack:
    case Segment::kick_request:
    case Segment::nat_request:
    case Segment::server_reply:
    case Segment::remote_server:
    case Segment::nat_reply:
      return Actor::kNetwork;
    case Segment::server_accept_wait:
    case Segment::server_read_wait:
    case Segment::server_think:
      return Actor::kServer;
    default:
      return Actor::kNone;
  }
}

std::vector<std::uint32_t> vcpu_threads(const Trace& trace) {
  std::set<std::uint32_t> tids;
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_exchange) tids.insert(e.tid);
  return {tids.begin(), tids.end()};
}

}  // namespace glassbox::trace
