// A comparison as text: one table for the terminal, and the same as Markdown. Pure.
#pragma once

#include <string>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

[[nodiscard]] std::string compare_text(const CompareResult& result);
[[nodiscard]] std::string compare_markdown(const CompareResult& result);

// Whether every stack that was asked for has its figures, no stack was given up and the null test holds.
[[nodiscard]] bool is_whole(const CompareResult& result);

// The row that a row is compared with: an earlier one of the same stack; otherwise glassbox of the same group
// if it takes part, or the first row of the group that has figures. Null for that row itself.
[[nodiscard]] const Row* base_of(const CompareResult& result, const Row& row);

}  // namespace glassbox::bench
