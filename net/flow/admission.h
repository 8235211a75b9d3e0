// Whether one more flow may begin: how many there are, and how many began in the last second. One for TCP,
// UDP and echo together, so that a guest gone wild costs the host a known amount of sockets and work.
//
// Thread: the network thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/counters.h"
#include "net/nat_config.h"

namespace glassbox::net {

class Admission {
 public:
  Admission(const NatConfig& config, const NatCounters& counters)
      : max_flows_(config.max_flows), interval_ns_(kSecondNs / config.max_new_flows), counters_(counters) {}

  // Takes one of the flows that may begin, or says why none may.
  [[nodiscard]] RefuseReason admit(std::uint64_t now_ns) {
    const std::uint64_t open =
        std::uint64_t{counters_.flows_open} + counters_.udp_flows_open + counters_.echo_flows_open;
    if (open >= max_flows_) return RefuseReason::kTooManyFlows;
    // A bucket that holds a second's worth, as the time at which it will be full again.
    const std::uint64_t full_ns = std::max(full_ns_, now_ns) + interval_ns_;
    if (full_ns > now_ns + kSecondNs) return RefuseReason::kTooManyNewFlows;
    full_ns_ = full_ns;
    return RefuseReason::kNone;
  }

 private:
  static constexpr std::uint64_t kSecondNs = 1'000'000'000;
  const std::uint32_t max_flows_;
  const std::uint64_t interval_ns_;
  const NatCounters& counters_;
  std::uint64_t full_ns_ = 0;
};

}  // namespace glassbox::net
