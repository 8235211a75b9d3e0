// The parts of `glassbox run` (run.cc puts them together).
#pragma once

#include "vmm/cli/daemon.h"
#include "vmm/cli/vm_host.h"

namespace glassbox::cli {

struct RunOptions {
  VmSpec vm;
  std::vector<std::string> add;  // --add, as given
  std::vector<std::string> command;
  bool detach = false;
  bool console = false;
  unsigned start_timeout_s = 300;  // 0: none
};

// Fills in the defaults (kernel and image in guest/, next to the program) and checks all that can be checked
// before the start. Errors name the remedy.
[[nodiscard]] Status complete(RunOptions& options);

// The three ways to run a VM; each returns the exit status.
[[nodiscard]] int run_with_command(const RunOptions& options);
[[nodiscard]] int run_with_console(const RunOptions& options);
[[nodiscard]] int run_detached(const RunOptions& options);

}  // namespace glassbox::cli
