// A run in the terms of the report's JSON (tools/trace/report/report.schema.json): what the workload was, and
// how long the client itself says that it took. A traced run keeps it in the trace, so that a report made
// later is the same report.
//
// Pure.
#pragma once

#include <nlohmann/json.hpp>

#include "tools/bench/measure/crr.h"
#include "tools/bench/measure/stats.h"

namespace glassbox::bench {

// {"workload": {...}, "client": {...}, "client_cycle_ns": [...]}, of a run with untraced cycles
// around its trace "tracing_cost" as well; what may not be stated is null. Times of
// single cycles are left out of a run so long that they would not fit a chunk of the trace.
[[nodiscard]] nlohmann::json describe(const CrrResult& result, const Summary& summary);

}  // namespace glassbox::bench
