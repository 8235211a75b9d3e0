#include <fmt/format.h>

#include "tools/trace/report.h"

namespace glassbox::trace {

std::string format_states(const Report& r) {
  constexpr int kLabelWidth = 44;
  std::string rows;
  for (const SegmentRow& row : r.segments) {
    if (!row.mean_states_ns) continue;
    rows += fmt::format("{:<7} {:<{}}", actor_of(row.segment) == Actor::kNetwork ? "network" : "server",
                        segment_info(row.segment).label, kLabelWidth);
    for (const std::int64_t ns : *row.mean_states_ns)
      rows += fmt::format(" {:>9}", format_time(ns));
    rows += "\n";
  }
  if (rows.empty())
    return "states: none, the trace has no scheduling events of threads that served its cycles\n";
  return fmt::format("{:<{}} {:>9} {:>9} {:>9} {:>9}\n{}", "what the host's threads did, mean a cycle",
                     kLabelWidth + 8, "running", "runnable", "blocked", "unknown", rows);
}

}  // namespace glassbox::trace
