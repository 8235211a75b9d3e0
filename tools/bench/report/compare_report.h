// What a comparison says: one table for the terminal, the same as Markdown, and all of it as JSON.
//
// Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

[[nodiscard]] std::string compare_text(const CompareResult& result);
[[nodiscard]] std::string compare_markdown(const CompareResult& result);
[[nodiscard]] nlohmann::json compare_json(const CompareResult& result);

// Whether the harness shows what a plain loop shows; nothing where there were no rounds, or too few for a
// verdict and intervals that do not overlap.
[[nodiscard]] std::optional<bool> null_test_agrees(const NullTest& test);
// Whether the null test found the harness out.
[[nodiscard]] bool null_test_failed(const NullTest& test);

// Whether every stack that was asked for has its figures, none was cut off and the null test holds.
[[nodiscard]] bool is_whole(const CompareResult& result);

// The row that a row is compared with: an earlier one of the same stack; or of the group our own where it
// takes part, otherwise the first that has figures. Null for that one itself.
[[nodiscard]] const Contender* base_of(const CompareResult& result, const Contender& row);

}  // namespace glassbox::bench
