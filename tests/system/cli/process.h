// Runs a program as a shell does, to its end or in the background.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox::test {

struct ProgramResult {
  int status = -1;  // as a shell gives it: exit status, or 128 + signal
  std::string out, err;
};

// A started program. Its output goes to memory files, so that it never waits for a reader.
class Process {
 public:
  // With `terminal`, stdin, stdout and stderr are a new terminal, and wait().out is what appeared on it.
  static Process start(const std::vector<std::string>& argv, const std::string& stdin_file = "/dev/null",
                       bool terminal = false);
  Process(Process&&) = default;
  Process& operator=(Process&&) = delete;
  ~Process();  // kills the program if it still runs

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  // Its stdout so far; empty with a terminal.
  [[nodiscard]] std::string output() const;
  // With a terminal: types keys, and waits until `text` has appeared; false if the program ended first.
  void type(const std::string& keys) const;
  bool wait_for(const std::string& text);
  // Waits for the end and reaps it. Call once.
  ProgramResult wait();

 private:
  Process() = default;
  pid_t pid_ = -1;
  UniqueFd terminal_;
  UniqueFd out_, err_;
  std::string shown_;
};

// Runs a program to its end.
ProgramResult run(const std::vector<std::string>& argv, const std::string& stdin_file = "/dev/null");

// The argv of the glassbox in this build with these arguments.
std::vector<std::string> glassbox(std::vector<std::string> arguments);

}  // namespace glassbox::test
