// `report --states`: the rows, split by what the thread that acts in each did meanwhile.
#include <fmt/format.h>

#include "tools/trace/path/cycle_states.h"
#include "tools/trace/report/report.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {

std::string format_states(const Report& r) {
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
    return "states: none (the trace has no scheduling events of the threads that served its cycles)\n";
  return fmt::format(
      "{:<{}} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n{}in exit: its vCPU has left the guest; stolen: its vCPU "
      "is runnable, but has no CPU on the host\n",
      "state of the thread that acts, mean per cycle", kLabelWidth + 8, "running", "runnable", "blocked",
      "in exit", "stolen", "unknown", rows);
}

}  // namespace glassbox::trace
