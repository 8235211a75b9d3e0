// The cells of the comparison's tables, as text. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/bench/measure/compare_run.h"

namespace glassbox::bench {

// Rows of cells; the first is the header. The first two columns are words, the others figures.
using Table = std::vector<std::vector<std::string>>;

[[nodiscard]] Table figures_table(const CompareResult& result);
[[nodiscard]] Table boot_table(const CompareResult& result);

[[nodiscard]] std::string plain_table(const Table& table);
[[nodiscard]] std::string markdown_table(const Table& table);

inline constexpr const char* kTableLegend =
    "p50 with the interval of the median (order statistics, 95 % or more). No p99 of fewer than 1,000 "
    "samples.\n"
    "vs: ratio of the times (below 1x is faster) to the group's first; a difference is called one only with\n"
    "p < 0.01 over the rounds and intervals that do not overlap. Per cycle, of monitor and NAT together: "
    "exits and\n"
    "interrupts injected, system calls, wake-ups and context switches of threads, CPU time.\n";

// "npf 9.1, hlt 2.0, other 0.3"
[[nodiscard]] std::string largest(const std::map<std::string, double>& counts);

// The guest's own loopback CRR, if the run has it: no monitor can be faster.
[[nodiscard]] std::string floor_text(const CompareResult& result);

[[nodiscard]] std::string_view stage_name(std::uint32_t stage);

}  // namespace glassbox::bench
