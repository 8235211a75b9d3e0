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

// The argv of `glassbox netns OPTIONS -- COMMAND`.
[[nodiscard]] std::vector<std::string> netns(std::vector<std::string> command,
                                             const std::vector<std::string>& options = {});
[[nodiscard]] std::vector<std::string> sh(const std::string& script);

// A program whose stdout and stderr go to one pipe. The kernel kills it when the thread that started it ends.
class Process {
 public:
  // A uid other than 0 gets a /dev/net/tun that it may open, in its own mount namespace, because machines
  // differ in the permissions of theirs. own_group: in a new process group, as a shell starts a job.
  explicit Process(const std::vector<std::string>& words, uid_t uid = 0, bool own_group = false);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Its output so far, at least up to `mark`; all of it if the program ends without printing the mark.
  std::string read_until(const std::string& mark);
  // Removes and returns the output up to and with `mark`; read_until() and wait() then no longer see it.
  std::string take_until(const std::string& mark);
  ProgramResult wait();

 private:
  UniqueFd out_;
  pid_t pid_ = -1;
  std::string output_;
};

ProgramResult run(const std::vector<std::string>& words, uid_t uid = 0);

// The reason why `glassbox netns` cannot work on this machine; empty if it can. If the machine has everything
// that it needs and it does not work, the test fails instead.
[[nodiscard]] std::string why_no_netns();

}  // namespace glassbox
