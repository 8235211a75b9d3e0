// What an untraced run prints: the client's own times and what they were measured on. (A traced run's table
// is glassbox-trace's.)
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/bench/measure/crr.h"
#include "tools/bench/measure/stats.h"

namespace glassbox::bench {

// The first line of every report: workload, cycles, server.
[[nodiscard]] std::string headline(const Spec& spec);

[[nodiscard]] std::string text_report(const CrrResult& result, const Summary& summary);
// The report's JSON without a trace: the client's figures, everything else null, zero or empty.
[[nodiscard]] nlohmann::json json_report(const CrrResult& result, const Summary& summary);

}  // namespace glassbox::bench
