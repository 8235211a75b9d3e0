// A cycle in a process of its own. A delayed one is forked from a process with much memory: the kernel copies
// its page tables for the child, and frees the copy in the child's exec.
#pragma once

#include <sys/types.h>

#include "tests/delays/crr/cycle.h"
#include "tests/delays/crr/options.h"

namespace glassbox::delays::crr {

// Forks, and executes this program again for one cycle of the same peer. cycle.delay_ns is the time from just
// before fork() to the start of the child's main(), in delayed and undelayed cycles. Returns nullptr, or what
// failed, with errno set.
[[nodiscard]] const char* run_forked_cycle(char** argv, Cycle& cycle);

// A child process of `bytes` of memory, every page of it written, that runs forked cycles on request.
class LargeParent {
 public:
  LargeParent(std::size_t bytes, char** argv);
  LargeParent(const LargeParent&) = delete;
  LargeParent& operator=(const LargeParent&) = delete;
  ~LargeParent();
  [[nodiscard]] const char* run_forked_cycle(Cycle& cycle) const;

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
};

// In the child: sends the parent the time from fork() to main_ns, the start of main().
void report_start(const Options& options, std::uint64_t main_ns);

}  // namespace glassbox::delays::crr
