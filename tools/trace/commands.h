// The commands of glassbox-trace: each takes the parsed command line and returns the exit status.
//
// Commands print results on stdout and errors, one line each, on stderr. They run on the main thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::trace {

inline constexpr int kExitFailure = 1, kExitUsage = 2;

// The options of all commands; each reads its own. An empty string and 0 mean that the option was not given.
struct Args {
  int argc = 0;  // the command line as it was, to repeat it in the lab
  char** argv = nullptr;
  std::string name, file, meta, format = "table";
  pid_t pid = 0;
  std::size_t ring_mib = 16;
  double duration_s = 0;
  int ready_fd = -1;
  std::size_t cycle = 0, slowest = 0;
  bool states = false, markdown = false, json = false, host_only = false;
  double interval_s = 1;
  std::vector<std::string> without;
};

[[nodiscard]] int run_record(const Args& args);
[[nodiscard]] int run_live(const Args& args);
[[nodiscard]] int run_report(const Args& args);
[[nodiscard]] int run_annotate(const Args& args);
[[nodiscard]] int run_probes(const Args& args);
[[nodiscard]] int run_doctor(const Args& args);

// Prints the error and returns `status`.
[[nodiscard]] int failed(const Error& error, int status = kExitFailure);
// Flushes stdout. Returns `status`, or a failure if stdout could not be written.
[[nodiscard]] int flush_output(int status);

}  // namespace glassbox::trace
