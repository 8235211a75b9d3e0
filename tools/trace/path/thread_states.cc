#include "tools/trace/path/thread_states.h"

#include <algorithm>

#include "bpf/event_args.h"

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

// Events carry thread numbers in 64 bits; the kernel's have 32.
std::vector<ThreadStates::Change>& ThreadStates::changes_of(std::uint64_t tid) {
  return by_tid_[static_cast<std::uint32_t>(tid)];
}

// `state` is Linux's task state: 0 (TASK_RUNNING) means that the thread was preempted.
void ThreadStates::left_cpu(std::uint64_t tid, std::int64_t at_ns, std::uint64_t state, std::uint16_t cpu) {
  changes_of(tid).push_back({at_ns, state == 0 ? ThreadState::kRunnable : ThreadState::kBlocked, cpu});
}

void ThreadStates::got_cpu(std::uint64_t tid, std::int64_t at_ns, std::uint16_t cpu) {
  changes_of(tid).push_back({at_ns, ThreadState::kRunning, cpu});
}

// A thread that is woken on its way to sleep stays on its CPU: only a sleeping one becomes runnable.
void ThreadStates::woken(std::uint64_t tid, std::int64_t at_ns) {
  std::vector<Change>& changes = changes_of(tid);
  if (changes.empty() || changes.back().state == ThreadState::kBlocked)
    changes.push_back({at_ns, ThreadState::kRunnable, changes.empty() ? kNoCpu : changes.back().cpu});
}

ThreadStates::ThreadStates(const Trace& trace) {
  for (const gb_event& e : trace.host.events) {
    const auto at = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_host_sched_out) {
      const auto& out = args::host_sched_out(e);
      left_cpu(out.tid, at, out.state, e.cpu);
    } else if (e.kind == GB_KIND_host_sched_in) {
      got_cpu(args::host_sched_in(e).tid, at, e.cpu);
    } else if (e.kind == GB_KIND_host_sched_wakeup) {
      woken(args::host_sched_wakeup(e).tid, at);
    }
  }
}

ThreadStates::ThreadStates(const Trace& trace, const ClockHull& clock) {
  for (const gb_event& e : trace.guest.events) {
    const auto at = [&] { return clock.to_host(static_cast<std::int64_t>(e.ts_ns)); };
    switch (e.kind) {
      case GB_KIND_guest_sched_out: {
        const auto& out = args::guest_sched_out(e);
        left_cpu(out.tid, at(), out.state, e.cpu);
        break;
      }
      case GB_KIND_guest_sched_in:
        got_cpu(args::guest_sched_in(e).tid, at(), e.cpu);
        break;
      case GB_KIND_guest_sched_wakeup:
        woken(args::guest_sched_wakeup(e).tid, at());
        break;
      case GB_KIND_guest_fork: {
        // A new thread is runnable; an earlier thread with its number is dead. Threads that the agent does
        // not follow have no events.
        const auto& fork = args::guest_fork(e);
        if (fork.followed != 0) changes_of(fork.child_tid).push_back({at(), ThreadState::kRunnable, e.cpu});
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
