// Runs `glassbox netns` and other programs as a user does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox {

struct ProgramResult {
  int status = -1;  // as a shell gives it: exit status, or 128 + signal
  std::string output;
};

// The words of `glassbox netns OPTIONS -- COMMAND`.
[[nodiscard]] std::vector<std::string> netns(std::vector<std::string> command,
                                             const std::vector<std::string>& options = {});
[[nodiscard]] std::vector<std::string> sh(const std::string& script);

// A program with its standard output and error in a pipe. Ends with the thread that started it.
class Process {
 public:
  // Another uid than 0 gets a /dev/net/tun that it may open, in a mount namespace of its own: machines differ
  // in who may. own_group: as a shell starts a job.
  explicit Process(const std::vector<std::string>& words, uid_t uid = 0, bool own_group = false);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // What it has said, at least until the mark, or all if it never says it.
  std::string read_until(const std::string& mark);
  // What it says next up to and with the mark, which read_until() and wait() then do not see.
  std::string take_until(const std::string& mark);
  ProgramResult wait();

 private:
  UniqueFd out_;
  pid_t pid_ = -1;
  std::string output_;
};

ProgramResult run(const std::vector<std::string>& words, uid_t uid = 0);

// Why `glassbox netns` cannot work on this machine; empty where it does. Where the machine has all that it
// needs, not working is a failure of the test.
[[nodiscard]] std::string why_no_netns();

}  // namespace glassbox
