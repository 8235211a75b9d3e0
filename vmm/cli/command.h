// The parts that the subcommands of glassbox share. Each has a file of its own: add_<name>() declares its
// options and, when the command line chose it, stores in Cli::action the function that main() runs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/options.h"
#include "vmm/base/result.h"

namespace glassbox::cli {

// Exit statuses of `run` and `exec` that are not the command's own (as in env(1) and podman).
inline constexpr int kExitGuestPanic = 120;
inline constexpr int kExitGuestPoweredOff = 121;
inline constexpr int kExitOurFailure = 125;
inline constexpr int kExitCannotRun = 126;
inline constexpr int kExitNotFound = 127;
// The other subcommands.
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

struct Cli {
  options::App& app;
  int argc;
  char** argv;
  std::vector<std::string> command;  // what followed "--"
  std::function<int()> action;
};

// Prints "glassbox: <message>" to stderr and returns status.
int report(const Error& error, int status);

// Writes a result to stdout. Returns 0, or kExitFailure with a message if it could not be written.
int print(std::string_view text);

void add_run(Cli& cli);
void add_exec(Cli& cli);
void add_ls(Cli& cli);
void add_logs(Cli& cli);
void add_stats(Cli& cli);
void add_stop(Cli& cli);
void add_kvm_check(Cli& cli);
void add_netns(Cli& cli);

}  // namespace glassbox::cli
