// Verdicts about threads that could run and did not.
#include <fmt/format.h>

#include <algorithm>

#include "tools/trace/thread_states.h"
#include "tools/trace/verdicts.h"

namespace glassbox::trace {
namespace {

std::int64_t runnable_ns(const StateSplit& split) {
  return split[static_cast<std::size_t>(ThreadState::kRunnable)];
}

Verdict claim(std::string_view id, std::string_view text, std::string_view who) {
  return {.id = id,
          .claim = text,
          .criterion = share_criterion(fmt::format("{} runnable, but on no CPU,", who)),
          .evidence = {}};
}

bool lacks(const ThreadStates& states, const Attribution& a, Verdict& v) {
  if (a.cycles.empty())
    v.evidence = "no complete cycle in the trace";
  else if (!states.known())
    v.evidence = "missing: sched_switch and sched_wakeup of the host";
  return !v.evidence.empty();
}

}  // namespace

Verdict net_scheduling_verdict(const Trace& trace, const Attribution& a) {
  Verdict v = claim("net_not_scheduled", "the network thread waits for a CPU", "the network thread");
  const ThreadStates states(trace);
  if (lacks(states, a, v)) return v;
  double held = 0;
  bool knows = false;
  for (const CycleResult& c : a.cycles) {
    knows |= states.knows(c.net_tid);
    for (const Step& s : c.path.steps)
      if (actor_of(s.segment) == Actor::kNetwork)
        held += static_cast<double>(runnable_ns(states.split(c.net_tid, s.begin_ns, s.end_ns)));
  }
  if (!knows) {
    v.evidence = "missing: scheduling events of the network thread";
    return v;
  }
  decide_by_share(v, held, a);
  return v;
}

// Of several vCPUs, the one that waited most in each step: which of them the client needed is not known.
Verdict vcpu_scheduling_verdict(const Trace& trace, const Attribution& a) {
  Verdict v = claim("vcpu_not_scheduled", "a vCPU waits for a CPU", "during the guest's segments, a vCPU");
  const ThreadStates states(trace);
  if (lacks(states, a, v)) return v;
  const auto vcpus = vcpu_threads(trace);
  if (std::none_of(vcpus.begin(), vcpus.end(), [&](std::uint32_t tid) { return states.knows(tid); })) {
    v.evidence = "missing: scheduling events of vCPU threads";
    return v;
  }
  double held = 0;
  for (const CycleResult& c : a.cycles) {
    for (const Step& s : c.path.steps) {
      if (s.segment == Segment::kUnattributed || segment_info(s.segment).side == Where::host) continue;
      std::int64_t most = 0;
      for (const std::uint32_t tid : vcpus)
        most = std::max(most, runnable_ns(states.split(tid, s.begin_ns, s.end_ns)));
      held += static_cast<double>(most);
    }
  }
  decide_by_share(v, held, a);
  return v;
}

}  // namespace glassbox::trace
