#include "net/loop/epoll_waiter.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace glassbox::net {
namespace {

// The kernel does not have the call (ENOSYS), or a seccomp profile forbids it (usually EPERM or ENOSYS).
bool is_refused(int error) {
  return error == ENOSYS || error == EPERM || error == EACCES;
}

}  // namespace

int EpollWaiter::wait(int epoll, std::span<epoll_event> events, std::uint64_t wait_ns) {
  for (;;) {
    const int count = wait_once(epoll, events, wait_ns);
    if (count >= 0) return count;
    if (errno == EINTR) return 0;
    if (!is_refused(errno) || call_ == Call::kWait) return -errno;
    call_ = call_ == Call::kPwait2 ? Call::kPwait : Call::kWait;
  }
}

int EpollWaiter::wait_once(int epoll, std::span<epoll_event> events, std::uint64_t wait_ns) const {
  const auto room = static_cast<int>(events.size());
  switch (call_) {
    case Call::kPwait2: {
      timespec timeout{};
      if (wait_ns != kForever) {
        timeout.tv_sec = static_cast<time_t>(wait_ns / kNsPerSecond);
        timeout.tv_nsec = static_cast<long>(wait_ns % kNsPerSecond);
      }
      return ::epoll_pwait2(epoll, events.data(), room, wait_ns == kForever ? nullptr : &timeout, nullptr);
    }
    case Call::kPwait:
      return ::epoll_pwait(epoll, events.data(), room, timeout_ms_of(wait_ns), nullptr);
    case Call::kWait:
      break;
  }
  // Not epoll_wait() of the C library, which may be built on epoll_pwait.
  return static_cast<int>(::syscall(SYS_epoll_wait, epoll, events.data(), room, timeout_ms_of(wait_ns)));
}

}  // namespace glassbox::net
