#include "tools/trace/path/thread_states.h"

#include <algorithm>

namespace glassbox::trace {

std::string_view name_of(ThreadState state) {
  switch (state) {
    case ThreadState::kRunning:
      return "running";
    case ThreadState::kRunnable:
      return "runnable";
    case ThreadState::kBlocked:
      return "blocked";
    case ThreadState::kExit:
      return "in exit";
    case ThreadState::kStolen:
      return "stolen";
    case ThreadState::kUnknown:
      break;
  }
  return "unknown";
}

// A thread that is woken on its way to sleep stays on its CPU: only a sleeper becomes runnable.
void ThreadStates::woken(std::uint32_t tid, std::int64_t at_ns) {
  std::vector<Change>& changes = by_tid_[tid];
  if (changes.empty() || changes.back().state == ThreadState::kBlocked)
    changes.push_back({at_ns, ThreadState::kRunnable, changes.empty() ? kNoCpu : changes.back().cpu});
}

ThreadStates::ThreadStates(const Trace& trace) {
  for (const gb_event& e : trace.host.events) {
    const auto tid = static_cast<std::uint32_t>(e.arg[0]);
    const auto at = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_host_sched_out)
      by_tid_[tid].push_back({at, e.arg[2] == 0 ? ThreadState::kRunnable : ThreadState::kBlocked, e.cpu});
    else if (e.kind == GB_KIND_host_sched_in)
      by_tid_[tid].push_back({at, ThreadState::kRunning, e.cpu});
    else if (e.kind == GB_KIND_host_sched_wakeup)
      woken(tid, at);
  }
}

ThreadStates::ThreadStates(const Trace& trace, const ClockHull& clock) {
  for (const gb_event& e : trace.guest.events) {
    const auto tid = static_cast<std::uint32_t>(e.arg[0]);
    const auto at = [&] { return clock.to_host(static_cast<std::int64_t>(e.ts_ns)); };
    switch (e.kind) {
      case GB_KIND_guest_sched_out:
        by_tid_[tid].push_back({at(), e.arg[2] == 0 ? ThreadState::kRunnable : ThreadState::kBlocked, e.cpu});
        break;
      case GB_KIND_guest_sched_in:
        by_tid_[tid].push_back({at(), ThreadState::kRunning, e.cpu});
        break;
      case GB_KIND_guest_sched_wakeup:
        woken(tid, at());
        break;
      case GB_KIND_guest_fork: {
        // A new thread may run; the number may have been another's, which is dead. Of one that is not
        // followed nothing is known.
        if (e.arg[3] == 0) break;
        const auto child = static_cast<std::uint32_t>(e.arg[1]);
        by_tid_[child].push_back({at(), ThreadState::kRunnable, e.cpu});
        break;
      }
      default:
        break;
    }
  }
}

std::vector<ThreadStates::Interval> ThreadStates::intervals(std::uint32_t tid, std::int64_t begin_ns,
                                                            std::int64_t end_ns) const {
  std::vector<Interval> out;
  Interval now{begin_ns, end_ns, ThreadState::kUnknown, kNoCpu};
  const auto found = by_tid_.find(tid);
  if (found != by_tid_.end()) {
    const std::vector<Change>& changes = found->second;
    auto next = std::upper_bound(changes.begin(), changes.end(), begin_ns,
                                 [](std::int64_t t, const Change& c) { return t < c.at_ns; });
    const auto take = [&now](const Change& c) { now.state = c.state, now.cpu = c.cpu; };
    if (next != changes.begin()) take(*(next - 1));
    for (; next != changes.end() && next->at_ns < end_ns; ++next) {
      now.end_ns = next->at_ns;
      if (now.end_ns > now.begin_ns) out.push_back(now);
      now.begin_ns = next->at_ns;
      take(*next);
    }
    now.end_ns = end_ns;
  }
  if (now.end_ns > now.begin_ns) out.push_back(now);
  return out;
}

StateSplit ThreadStates::split(std::uint32_t tid, std::int64_t begin_ns, std::int64_t end_ns) const {
  StateSplit out{};
  for (const Interval& i : intervals(tid, begin_ns, end_ns))
    out.at(static_cast<std::size_t>(i.state)) += i.end_ns - i.begin_ns;
  return out;
}

}  // namespace glassbox::trace
