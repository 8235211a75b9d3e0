// The launcher's only way to wait: for a child or a descriptor, while looking out for Ctrl-C, for the death
// of a process that the run depends on, and for a run that no longer moves.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/bench/process/child.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

class Watch {
 public:
  // Blocks SIGINT, SIGTERM and SIGHUP for the process; they are taken here from now on.
  [[nodiscard]] static Result<Watch> create();

  // A value that grows while the run moves, asked for a few times a second. May also draw progress.
  using Pulse = std::function<std::uint64_t()>;

  // Waits until `child` ends. Fails if a signal came, if a background process died, or if for `stall_s`
  // seconds the pulse did not change (without a pulse: if the child takes longer than that; the error's code
  // is ETIMEDOUT for both).
  [[nodiscard]] Result<ExitStatus> wait(Child& child, int stall_s, const Pulse& pulse = {});
  // Waits until `fd` is readable or at its end; `owner` is the process expected to make it so; that
  // it ended is an error.
  [[nodiscard]] Status wait_readable(int fd, Child& owner, int limit_s);

  // Waits until `child` has said something, on stdout or stderr.
  [[nodiscard]] Status wait_output(Child& child, int limit_s);

  // Fails if a background process has ended, or ends within `patience_ms`.
  [[nodiscard]] Status check_background(int patience_ms);

  // A process that must live through every wait; until remove_background().
  void add_background(Child& child) { background_.push_back(&child); }
  void remove_background(const Child& child) { std::erase(background_, &child); }

  // The signal that asked us to end, 0 if none did.
  [[nodiscard]] int signal();

 private:
  explicit Watch(UniqueFd signals) : signals_(std::move(signals)) {}
  // Done says whether the wait is over; called after each wake-up.
  Status loop(Child& child, int extra_fd, int limit_s, const Pulse& pulse, const std::function<bool()>& done);

  UniqueFd signals_;
  std::vector<Child*> background_;
  int signal_ = 0;
};

}  // namespace glassbox::bench
