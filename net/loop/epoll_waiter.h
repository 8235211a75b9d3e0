// Waits on an epoll descriptor for nanoseconds, with what this kernel and its seccomp profile allow.
//
// epoll_pwait2 (Linux 5.11) takes nanoseconds. Where it is refused, the first wait finds out, and from then
// on epoll_pwait serves, or epoll_wait where that is refused too: the time is then rounded up to
// milliseconds.
//
// Thread: the loop's owner.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "vmm/base/clock.h"

namespace glassbox::net {

class EpollWaiter {
 public:
  static constexpr std::uint64_t kForever = ~std::uint64_t{0};  // until an event

  // Milliseconds rounded up, -1 for ever.
  [[nodiscard]] static constexpr int timeout_ms_of(std::uint64_t wait_ns) {
    if (wait_ns == kForever) return -1;
    return static_cast<int>((wait_ns + kNsPerMs - 1) / kNsPerMs);
  }

  // Returns the number of events, 0 if there is none or a signal ended the wait, -errno if no wait works.
  [[nodiscard]] int wait(int epoll, std::span<epoll_event> events, std::uint64_t wait_ns);

 private:
  enum class Call : std::uint8_t { kPwait2, kPwait, kWait };
  [[nodiscard]] int wait_once(int epoll, std::span<epoll_event> events, std::uint64_t wait_ns) const;
  Call call_ = Call::kPwait2;
};

}  // namespace glassbox::net
