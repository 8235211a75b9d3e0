// Turns SIGINT, SIGTERM and SIGHUP into input for a poll loop, so that they end a recording in good order
// instead of killing the process.
//
// While a StopSignals lives the signals are blocked and arrive on fd(). Its destructor restores the signal
// mask and drops signals that were not read: they asked for the end that has come.
//
// Thread: create, use and destroy it on one thread. Other threads of the process must block these signals.
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
  // The number of a signal that arrived, or 0 if none did. Does not block.
  int take() const;

 private:
  StopSignals(UniqueFd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}
  UniqueFd fd_;  // invalid after a move
  sigset_t before_;
};

}  // namespace glassbox::trace
