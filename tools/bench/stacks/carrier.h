// The process that carries a stack's packets: found, not believed.
//
// The kernel tells in /proc/PID/fdinfo which tun or tap interface a descriptor is ("iff: NAME"); the process
// that holds one is what moves the packets. Whoever holds a stack's device must be the program that the row
// of the table names, or there is no row.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

struct Carrier {
  pid_t pid = -1;
  std::string program;  // path of the executable
};

// The process among `root` and its descendants that holds the tap or tun device `interface`, if its program's
// file name starts with `expected` (pasta may run as pasta.avx2); otherwise an error that says who it is.
[[nodiscard]] Result<Carrier> find_carrier(pid_t root, const std::string& interface,
                                           const std::string& expected);

// What all its threads did so far (schedstat): on a CPU, and ready for one but waiting.
struct SchedTime {
  std::uint64_t running_ns = 0;
  std::uint64_t runnable_ns = 0;
};
[[nodiscard]] Result<SchedTime> sched_time(pid_t pid);
[[nodiscard]] Result<std::uint64_t> cpu_ns(pid_t pid);

}  // namespace glassbox::bench
