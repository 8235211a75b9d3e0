// What an untraced run prints: the client's own times and what they were measured on. (A traced run's table
// is glassbox-trace's.)
#pragma once

#include <cstdint>
#include <string>

#include "tools/bench/crr.h"
#include "tools/bench/stats.h"

namespace glassbox::bench {

// "8.51 ms", "71 us": three significant digits, "-" for what may not be stated.
[[nodiscard]] std::string format_time(std::optional<std::uint64_t> ns);

// The first line of every report: workload, cycles, server.
[[nodiscard]] std::string headline(const CrrSpec& spec);

[[nodiscard]] std::string text_report(const CrrResult& result, const Summary& summary,
                                      const std::string& machine);

}  // namespace glassbox::bench
