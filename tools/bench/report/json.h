// A comparison as JSON: every figure of its tables, and more (bench.schema.json). Pure.
#pragma once

#include <nlohmann/json.hpp>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

[[nodiscard]] nlohmann::json compare_json(const CompareResult& result);

}  // namespace glassbox::bench
