#include "tools/bench/measure/time_split.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace glassbox::bench {

Result<SchedTime> sched_time(pid_t pid) {
  SchedTime total;
  bool any = false;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::ifstream file(entry.path() / "schedstat");
    SchedTime one;
    if (file >> one.running_ns >> one.runnable_ns) {
      total.running_ns += one.running_ns;
      total.runnable_ns += one.runnable_ns;
      any = true;
    }
  }
  if (!any) return fail("cannot read the CPU time of process {}", pid);
  return total;
}

TimeShare time_share(std::string who, const SchedTime& before, const SchedTime& after, double wall_ns) {
  TimeShare share{.who = std::move(who)};
  share.running = static_cast<double>(after.running_ns - before.running_ns) / wall_ns;
  share.runnable = static_cast<double>(after.runnable_ns - before.runnable_ns) / wall_ns;
  share.blocked = std::max(0.0, 1 - share.running - share.runnable);
  return share;
}

}  // namespace glassbox::bench
