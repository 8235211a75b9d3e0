#include "tools/bench/measure/clock_steps.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <ctime>

namespace glassbox::bench {
namespace {

constexpr time_t kYearS = 365L * 86'400;

}  // namespace

Result<ClockSteps> ClockSteps::watch() {
  UniqueFd timer(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  itimerspec when{};
  when.it_value.tv_sec = std::time(nullptr) + kYearS;
  // A timer that nobody waits for: to be told that the clock was set is what it is for.
  if (!timer ||
      ::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr) < 0) {
    return fail_errno(errno, "the clock cannot be watched");
  }
  return ClockSteps(std::move(timer));
}

Status ClockSteps::check() const {
  std::uint64_t expirations = 0;
  const ssize_t n = ::read(timer_.get(), &expirations, sizeof(expirations));
  if (n < 0 && errno == EAGAIN) return {};
  return fail("the machine's clock was set while the client timed itself with it: no figures");
}

}  // namespace glassbox::bench
