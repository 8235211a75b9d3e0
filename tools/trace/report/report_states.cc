#include <fmt/format.h>

#include "tools/trace/report/report.h"

namespace glassbox::trace {

std::string format_states(const Report& r) {
  constexpr int kLabelWidth = 44;
  constexpr ThreadState kColumns[] = {ThreadState::kRunning, ThreadState::kRunnable, ThreadState::kBlocked,
                                      ThreadState::kExit,    ThreadState::kStolen,   ThreadState::kUnknown};
  std::string rows;
  for (const SegmentRow& row : r.segments) {
    if (!row.mean_states_ns) continue;
    rows += fmt::format("{:<7} {:<{}}", name_of(actor_of(row.segment)), segment_info(row.segment).label,
                        kLabelWidth);
    for (const ThreadState state : kColumns)
      rows += fmt::format(" {:>9}", format_time(row.mean_states_ns->at(static_cast<std::size_t>(state))));
    rows += "\n";
  }
  if (rows.empty())
    return "states: none, the trace has no scheduling events of threads that served its cycles\n";
  return fmt::format(
      "{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n{}in exit: its vCPU is out of the guest; stolen: its vCPU "
      "could run, but has no CPU on the host\n",
      "what who had to act did, mean a cycle", kLabelWidth + 8, "running", "runnable", "blocked", "in exit",
      "stolen", "unknown", rows);
}

}  // namespace glassbox::trace
