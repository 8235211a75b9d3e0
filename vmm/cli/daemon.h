// `run -d`: the VM goes on in a process of its own session, and the command returns once it is ready, or has
// failed.
#pragma once

#include <functional>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::cli {

// The daemon's end of the line to the process the user waits for.
class ReadyReport {
 public:
  explicit ReadyReport(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  // Prints the line in the foreground process and lets it return 0; lets go of the terminal and the user's
  // descriptors.
  [[nodiscard]] Status ready(const std::string& line);

 private:
  UniqueFd pipe_;
};

// Forks; before any thread. The child runs `serve` and exits with its result; until it reports ready its
// messages go to the user's stderr. The parent returns 0 once it is ready, or the child's exit status if it
// ends before. A signal to the parent meanwhile ends both: 128 + n.
[[nodiscard]] int run_as_daemon(const std::function<int(ReadyReport&)>& serve);

}  // namespace glassbox::cli
