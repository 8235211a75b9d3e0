// How a process spends its time: on a CPU, ready for one but without, or blocked.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

// Sums over all threads of a process since each of them started (/proc/PID/task/*/schedstat).
struct SchedTime {
  std::uint64_t running_ns = 0;
  std::uint64_t runnable_ns = 0;  // ready, and waiting for a CPU
};
[[nodiscard]] Result<SchedTime> sched_time(pid_t pid);

// Of a span of wall time; the three add up to 1 unless several threads run at once.
struct TimeShare {
  std::string who;  // "client", "NAT", "server"
  double running = 0;
  double runnable = 0;
  double blocked = 0;
};
[[nodiscard]] TimeShare time_share(std::string who, const SchedTime& before, const SchedTime& after,
                                   double wall_ns);

}  // namespace glassbox::bench
