// Verdicts about threads that were runnable and had no CPU.
#include <fmt/format.h>

#include "tools/trace/path/cycle_states.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {
namespace {

Verdict claim(std::string_view id, std::string_view text, std::string_view what) {
  return {.id = id, .claim = text, .criterion = share_criterion(what), .evidence = {}};
}

// For each cycle, the time in `state` in the steps whose actor `counts` accepts.
template <typename Counts>
Held time_in(ThreadState state, const CycleStates& states, const Attribution& a, Counts&& counts) {
  Held held;
  for (const CycleResult& c : a.cycles) {
    double& ns = held.emplace_back(0);
    for (const Step& s : c.path.steps)
      if (s.segment != Segment::kUnattributed && counts(actor_of(s)))
        ns += static_cast<double>(states.split(c, s).at(static_cast<std::size_t>(state)));
  }
  return held;
}

}  // namespace

Verdict net_scheduling_verdict(const CycleStates& states, const Attribution& a) {
  Verdict v = claim("net_not_scheduled", "the network thread waiting for a CPU dominates",
                    "the network thread runnable, but on no CPU,");
  bool knows = false;
  for (const CycleResult& c : a.cycles)
    knows |= states.knows_host_thread(c.net_tid);
  if (a.cycles.empty())
    v.evidence = "no complete cycle in the trace";
  else if (!states.knows(Actor::kNetwork))
    v.evidence = "missing: sched_switch and sched_wakeup of the host";
  else if (!knows)
    v.evidence = "missing: scheduling events of the network thread";
  else
    decide_by_share(
        v, time_in(ThreadState::kRunnable, states, a, [](Actor x) { return x == Actor::kNetwork; }), a);
  return v;
}

Verdict server_scheduling_verdict(const CycleStates& states, const Attribution& a) {
  Verdict v = claim("server_not_scheduled", "the server waiting for a CPU dominates the cycle",
                    "during its segments, the server's thread runnable, but on no CPU,");
  bool served = false, knows = false;
  for (const CycleResult& c : a.cycles) {
    served |= c.server_tid != 0;
    knows |= c.server_tid != 0 && states.knows_host_thread(c.server_tid);
  }
  if (a.cycles.empty())
    v.evidence = "no complete cycle in the trace";
  else if (!served)
    v.evidence = "missing: a server on this host";
  else if (!knows)
    v.evidence = "missing: scheduling events of the server";
  else
    decide_by_share(
        v, time_in(ThreadState::kRunnable, states, a, [](Actor x) { return x == Actor::kServer; }), a);
  return v;
}

Verdict vcpu_scheduling_verdict(const CycleStates& states, const Attribution& a) {
  Verdict v = claim("vcpu_not_scheduled", "a vCPU waiting for a CPU dominates the cycle",
                    "during the guest's segments, the vCPU that has to act runnable, but on no CPU,");
  if (a.cycles.empty())
    v.evidence = "no complete cycle in the trace";
  else if (!states.knows(Actor::kNetwork))
    v.evidence = "missing: sched_switch and sched_wakeup of the host";
  else if (!states.knows_vcpus())
    v.evidence = "missing: scheduling events of vCPU threads";
  else
    decide_by_share(v,
                    time_in(ThreadState::kStolen, states, a,
                            [](Actor x) { return x == Actor::kClient || x == Actor::kVcpu; }),
                    a);
  return v;
}

}  // namespace glassbox::trace
