// The parts of a trace's report (tools/trace/report/report.schema.json) that explain a missed target. Pure.
#pragma once

#include <nlohmann/json.hpp>

namespace glassbox::bench {

// The medians, the probes' share, the eight largest segments and the confirmed verdicts.
[[nodiscard]] nlohmann::json summary_of_trace(const nlohmann::json& report);

}  // namespace glassbox::bench
