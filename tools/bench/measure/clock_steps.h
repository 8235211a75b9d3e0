// Whether somebody set the machine's clock while a client read it. busybox's shell has no other clock than
// CLOCK_REALTIME ($EPOCHREALTIME): a step of it lengthens a cycle, shortens one or turns it round, and only
// the last can be seen in the times.
#pragma once

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

class ClockSteps {
 public:
  // Looks from here on.
  [[nodiscard]] static Result<ClockSteps> watch();
  // An error where the clock was set since; slewing it, as ntpd does, is no step.
  [[nodiscard]] Status check() const;

 private:
  explicit ClockSteps(UniqueFd timer) : timer_(std::move(timer)) {}
  UniqueFd timer_;
};

}  // namespace glassbox::bench
