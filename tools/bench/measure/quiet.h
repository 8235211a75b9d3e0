// What open flows cost a NAT while nothing happens on them.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "tools/bench/process/watch.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct Quiet {
  double cpu_percent = 0;  // of one core
  double wakeups_per_s = 0;
  std::uint64_t resident_kib = 0;
};

// Lets the process settle for a second, then watches it for two.
[[nodiscard]] Result<Quiet> watch_quiet_process(pid_t pid, Watch& watch);

}  // namespace glassbox::bench
