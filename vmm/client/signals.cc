#include "vmm/client/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace glassbox::client {

Result<SignalWatch> SignalWatch::create() {
  sigset_t set, before;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH})
    sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, &before);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "cannot watch signals");
  return SignalWatch(std::move(fd), before);
}

SignalWatch::~SignalWatch() {
  if (!fd_) return;
  // Discard signals that came late: the session ends anyway, and unblocking them would kill it before
  // clean-up.
  while (take()) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> SignalWatch::take() const {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof(info)) != sizeof(info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace glassbox::client
