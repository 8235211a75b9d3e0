#include "tools/trace/record/stop_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace glassbox::trace {

Result<StopSignals> StopSignals::take_over() {
  sigset_t set, before;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, &before) != 0) return fail_errno(errno, "cannot block signals");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return fail_errno(error, "signalfd");
  }
  return StopSignals(std::move(fd), before);
}

StopSignals::~StopSignals() {
  if (!fd_) return;
  while (take() != 0) {
  }
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int StopSignals::take() const {
  signalfd_siginfo info{};
  return ::read(fd_.get(), &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace glassbox::trace
