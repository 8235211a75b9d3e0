// What open flows that do nothing cost: CPU time, memory, and the cycles of others.
//
// Two instances of a stack run side by side. One carries the idle flows; CRR go through both in turn, so the
// comparison is one of pairs. Then the idle flows go and two half-closed ones take their place.
#pragma once

#include "tools/bench/net/measure.h"
#include "tools/bench/net/servers.h"
#include "tools/bench/stacks/net_stack.h"

namespace glassbox::bench {

[[nodiscard]] IdleFlows measure_idle(const NetStackKind& kind, const NetServers& servers,
                                     const NetSpec& spec);

}  // namespace glassbox::bench
