// What bench_net says: JSON for programs, and a table for the reader, which is made from the JSON and so can
// be made of merged results too. Pure, apart from describe_machine().
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/net/measure.h"

namespace glassbox::bench {

// Kernel, processor, load averages now, date.
[[nodiscard]] nlohmann::json describe_machine();

[[nodiscard]] nlohmann::json net_json(const NetSpec& spec, const nlohmann::json& machine,
                                      const std::vector<NetRow>& rows);

// One result of several, whose parts complement each other; of figures that two of them have, those of the
// first stay. The verdicts are those of the whole. Fails where they are not results of one machine and
// version.
[[nodiscard]] Result<nlohmann::json> merge_net_json(const std::vector<nlohmann::json>& results);

[[nodiscard]] std::string net_table(const nlohmann::json& result);

[[nodiscard]] double median(std::vector<double> values);

}  // namespace glassbox::bench
