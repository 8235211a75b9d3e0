// When to send again what the guest has not acknowledged, and when to give the guest up (RFC 9293, 3.8.1).
//
// The interval starts at kRetransmitNs and doubles with every attempt that nothing answers, up to
// kMaxRetransmitNs. No round trip is measured: the guest is a memory copy away (net/tcp/tcp_limits.h).
//
// Pure: the caller passes the time, CLOCK_MONOTONIC in nanoseconds, and looks at due_ns() itself.
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/tcp/tcp_limits.h"

namespace glassbox::net {

class RetransmitTimer {
 public:
  // 0: stopped, there is nothing to repeat and nothing to probe for.
  [[nodiscard]] std::uint64_t due_ns() const { return due_ns_; }
  [[nodiscard]] bool running() const { return due_ns_ != 0; }
  [[nodiscard]] bool is_due(std::uint64_t now_ns) const { return due_ns_ != 0 && due_ns_ <= now_ns; }

  void stop() { due_ns_ = 0; }
  // The first interval, for something that is sent for the first time.
  void start(std::uint64_t now_ns) { due_ns_ = now_ns + kRetransmitNs; }
  // The interval that the unanswered attempts have led to.
  void start_backed_off(std::uint64_t now_ns) { due_ns_ = now_ns + interval_ns(attempts_); }
  // A wait that is no attempt: for room in a pool, not for the guest.
  void start_for(std::uint64_t now_ns, std::uint64_t wait_ns) { due_ns_ = now_ns + wait_ns; }

  // Something was sent that the guest must answer: a repetition, a window probe or a keepalive.
  void count_attempt() { ++attempts_; }
  // True after the last attempt that is allowed: the guest counts as gone.
  [[nodiscard]] bool exhausted() const { return attempts_ > kMaxRetries; }
  // The guest has acknowledged something new, or answered while nothing was outstanding.
  void forget_attempts() { attempts_ = 0; }
  // The guest answered a window probe and its window is still shut. A guest that answers is not gone, however
  // long that lasts (RFC 9293, 3.8.6.1), but the time between probes stays as long as it has grown.
  void keep_probing() { attempts_ = std::min(attempts_, kMaxDoublings); }

  [[nodiscard]] static constexpr std::uint64_t interval_ns(std::uint8_t attempts) {
    return std::min(kRetransmitNs << std::min(attempts, kMaxDoublings), kMaxRetransmitNs);
  }

 private:
  std::uint64_t due_ns_ = 0;
  std::uint8_t attempts_ = 0;  // unanswered, in a row
};

}  // namespace glassbox::net
