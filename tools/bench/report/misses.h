// Where a missed target is held: for each target of glassbox that a run missed, what tells.
//
// Times: a traced run of its own after the measured ones (`glassbox-bench crr --workload single --trace`),
// whose largest segments are named; for RR only those between send() and the reply. Before them stands how
// long its cycles took beside the measured ones; where that is far apart it is taken again, and then said.
// Counts: exits by reason, ours beside the peer's, and the segments as well. Boots: the stages of the same
// run. The figures of the measured, untraced runs stay as they are.
#pragma once

#include <functional>

#include "tools/bench/report/targets.h"

namespace glassbox::bench {

// The traced run, if a target was missed that it can tell of. Its report goes to result.traced, or why there
// is none to result.trace_missing.
void trace_misses(CompareResult& result, Watch& watch, Progress& progress);

// Gives the report of one traced run.
using TracedRun = std::function<Result<nlohmann::json>()>;
// The same with the traced runs of the caller's. One that is too slow to compare is taken again, some times,
// and the fastest is kept.
void trace_misses(CompareResult& result, const TracedRun& run, Progress& progress);

// "exits: hlt 2.7 (4.8), msr 2.1 (5.1)", and so on; nothing for a target that was met. Pure.
[[nodiscard]] std::vector<std::string> where_held(const CompareResult& result, const Target& target);

}  // namespace glassbox::bench
