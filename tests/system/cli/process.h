// Runs a program as a shell would, to its end or in the background.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox::test {

struct Ran {
  int status = -1;  // as a shell has it
  std::string out, err;
};

// A started program. Its output goes to files, so that nothing ever waits for a reader.
class Process {
 public:
  // With `terminal` its stdin, stdout and stderr are a terminal of its own and out() is what appeared on it.
  static Process start(const std::vector<std::string>& argv, const std::string& stdin_file = "/dev/null",
                       bool terminal = false);
  Process(Process&&) = default;
  Process& operator=(Process&&) = delete;
  ~Process();  // kills what still runs

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  // What it has written to stdout so far (not on a terminal).
  [[nodiscard]] std::string output() const;
  // Types into the terminal, and waits until `text` has appeared on it; false if the program ended first.
  void type(const std::string& keys) const;
  bool wait_for(const std::string& text);
  Ran wait();

 private:
  Process() = default;
  pid_t pid_ = -1;
  UniqueFd terminal_;
  UniqueFd out_, err_;
  std::string shown_;
};

// To its end.
Ran run(const std::vector<std::string>& argv, const std::string& stdin_file = "/dev/null");

// The glassbox that was built, before its arguments.
std::vector<std::string> glassbox(std::vector<std::string> arguments);

}  // namespace glassbox::test
