// What holds back each target that a run missed.
//
// With a guest: times are explained by a traced run after the measured ones (`glassbox-bench crr --workload
// single --trace`), of which the largest segments are named; for RR, only those between send() and the reply.
// The line before them compares its cycles with the measured ones; a traced run that was disturbed is
// repeated, and the report says so. Counts are explained by exits by reason, compared with the peer's, and by
// the segments; boots by their stages. Without a guest: measure/explain_native.h. The figures of the
// measured, untraced runs do not change.
#pragma once

#include <functional>

#include "tools/bench/report/targets.h"

namespace glassbox::bench {

// Makes the traced run if it can explain a target that was missed. Its report goes to result.traced, or the
// reason why there is none to result.trace_missing.
void trace_missed_targets(CompareResult& result, Watch& watch, Progress& progress);

// Gives the report of one traced run.
using TracedRun = std::function<Result<nlohmann::json>()>;
// The same with traced runs that the caller makes. A run that is too slow is repeated; the fastest is kept.
void trace_missed_targets(CompareResult& result, const TracedRun& run, Progress& progress);

// "exits: hlt 2.7 (4.8), msr 2.1 (5.1)", and so on; empty for a target that was met. Pure.
[[nodiscard]] std::vector<std::string> explain_target(const CompareResult& result, const Target& target);

}  // namespace glassbox::bench
