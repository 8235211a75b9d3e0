// What the NAT is to reach beside its peers in the same run, and whether it did: pure functions of a result.
#pragma once

#include <nlohmann/json.hpp>

namespace glassbox::bench {

// One object a target: "target", "measured", "limit", "unit", "verdict" ("met", "missed", or "not measured"
// where the result has not all that it takes). `result` is what net_json() makes.
[[nodiscard]] nlohmann::json net_targets(const nlohmann::json& result);

}  // namespace glassbox::bench
