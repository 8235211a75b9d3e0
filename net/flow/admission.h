// Decides whether one more flow may begin, by the number of open flows and the number that began in the last
// second. It is shared by TCP, UDP, echo and DNS, so that a guest that opens flows without end costs the host
// a bounded number of sockets and a bounded amount of work.
//
// Thread: the network thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/counters.h"
#include "net/nat_config.h"
#include "vmm/base/clock.h"

namespace glassbox::net {

class Admission {
 public:
  Admission(const NatConfig& config, const NatCounters& counters)
      : max_flows_(config.max_flows),
        interval_ns_(kNsPerSecond / config.max_new_flows),
        counters_(counters) {}

  // Admits one flow and counts it against the rate (kNone), or returns the reason for refusing it.
  [[nodiscard]] RefuseReason admit(std::uint64_t now_ns) {
    const std::uint64_t open =
        std::uint64_t{counters_.flows_open} + counters_.udp_flows_open + counters_.echo_flows_open;
    if (open >= max_flows_) return RefuseReason::kTooManyFlows;
    // A token bucket of one second's worth, kept as the time at which it will be full again.
    const std::uint64_t full_ns = std::max(full_ns_, now_ns) + interval_ns_;
    if (full_ns > now_ns + kNsPerSecond) return RefuseReason::kTooManyNewFlows;
    full_ns_ = full_ns;
    return RefuseReason::kNone;
  }

 private:
  const std::uint32_t max_flows_;
  const std::uint64_t interval_ns_;
  const NatCounters& counters_;
  std::uint64_t full_ns_ = 0;
};

}  // namespace glassbox::net
