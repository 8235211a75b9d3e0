// Where the time of a native stack goes under one workload: extra runs after the measured rounds.
//
// First, untraced, what client, NAT and server did with their time during a window of half a second. Then,
// for workloads made of CRR, `glassbox-trace record` on the process that carries the packets, if that process
// has glassbox's probes; its report's largest segments are kept.
#pragma once

#include "tools/bench/measure/client_run.h"

namespace glassbox::bench {

// The stack of the row must run. cycle_ns: the median of one cycle, from the rounds.
[[nodiscard]] NativeExplanation explain_native(Row& row, const Workload& workload, const Spec& spec,
                                               std::uint64_t cycle_ns, Watch& watch);

}  // namespace glassbox::bench
