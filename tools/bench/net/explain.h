// Where the time of a missed target goes: runs of their own after the measured ones, on a fresh stack each.
//
// First what client, carrier and server did with their time (running, runnable and without a core, blocked)
// and how many frames passed, untraced. Then the carrier's system calls. Then, where the exchange has cycles,
// the probes' own table: `glassbox-trace record` on the carrier and its report, of which the largest segments
// are kept with what the thread that had to act did.
#pragma once

#include <nlohmann/json.hpp>

#include "tools/bench/net/measure.h"

namespace glassbox::bench {

// For each subject that a missed target of the list names (see targets.h), an object that explanation_table()
// can read. all: also those that were met.
[[nodiscard]] nlohmann::json explain_targets(const NetSpec& spec, const nlohmann::json& targets, bool all);

// Of glassbox-trace report's JSON: the largest segments and the confirmed verdicts.
[[nodiscard]] nlohmann::json summary_of_trace(const nlohmann::json& report);

[[nodiscard]] std::string explanation_table(const nlohmann::json& explanations);

}  // namespace glassbox::bench
