// `run -d`: the VM continues in a process with its own session; the command returns once the VM is ready or
// has failed.
#pragma once

#include <functional>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::cli {

// The daemon's end of the pipe to the foreground process.
class ReadyReport {
 public:
  explicit ReadyReport(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  // Makes the foreground process print the line and return 0. Closes the terminal and the user's descriptors
  // here.
  [[nodiscard]] Status ready(const std::string& line);

 private:
  UniqueFd pipe_;
};

// Forks, so call it before there is a thread. The child runs `serve` and exits with its result; until it
// reports that it is ready, its messages go to the user's stderr. The parent returns 0 once the child is
// ready, or the child's exit status if it ends before. If the line cannot be written, it ends the child.
// Signal n to the parent meanwhile ends both, with status 128 + n.
[[nodiscard]] int run_as_daemon(const std::function<int(ReadyReport&)>& serve);

}  // namespace glassbox::cli
