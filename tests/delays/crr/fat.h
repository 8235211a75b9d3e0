// A cycle in a new process, by fork and exec. To be late, it is forked from a process with much memory: the
// kernel copies the page tables for the child and frees them in the child's exec.
#pragma once

#include <sys/types.h>

#include "tests/delays/crr/cycle.h"
#include "tests/delays/crr/options.h"

namespace glassbox::delays::crr {

// Forks, and executes this program again for one cycle of the same peer. cycle.delay_ns is the time from just
// before fork() to the first instruction of the child's main(), in delayed and undelayed cycles.
[[nodiscard]] const char* run_forked_cycle(char** argv, Cycle& cycle);

// A process whose memory is resident (every page was written). It forks a cycle whenever it is asked to.
class FatProcess {
 public:
  FatProcess(std::size_t bytes, char** argv);
  FatProcess(const FatProcess&) = delete;
  FatProcess& operator=(const FatProcess&) = delete;
  ~FatProcess();
  [[nodiscard]] const char* run_forked_cycle(Cycle& cycle) const;

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
};

// In the child: reports to the parent when main() began.
void report_start(const Options& options, std::uint64_t main_ns);

}  // namespace glassbox::delays::crr
