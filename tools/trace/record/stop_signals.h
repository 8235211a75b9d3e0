// SIGINT, SIGTERM and SIGHUP as input of a poll loop, for as long as this lives: they end a recording in good
// order instead of the process. Afterwards they are what they were; one that came unread is dropped, since it
// asked for the end that has happened.
//
// Thread: the one that makes it, in a process whose other threads have these signals blocked or do not exist.
#pragma once

#include <signal.h>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {

class StopSignals {
 public:
  [[nodiscard]] static Result<StopSignals> take_over();
  StopSignals(StopSignals&&) = default;
  StopSignals& operator=(StopSignals&&) = delete;
  ~StopSignals();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The number of one that came, or 0.
  int take() const;

 private:
  StopSignals(UniqueFd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}
  UniqueFd fd_;  // invalid: moved from
  sigset_t before_;
};

}  // namespace glassbox::trace
