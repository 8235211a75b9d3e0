// What the NAT has counted since it started. Plain numbers without a lock: the network thread alone writes
// and reads them, other threads get a copy through EventLoop::post_and_wait().
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bpf/reasons.h"

namespace glassbox::net {

struct NatCounters {
  std::uint64_t guest_frames = 0;
  std::uint64_t flows_opened = 0;
  std::uint64_t udp_flows_opened = 0;
  std::uint64_t echo_flows_opened = 0;
  std::uint64_t dns_queries = 0;         // from the guest
  std::uint64_t dns_cached = 0;          // answered from the cache
  std::uint64_t dns_forwarded = 0;       // to a name server, repetitions too
  std::uint64_t dns_failed = 0;          // no server answered
  std::uint64_t dns_rejected = 0;        // replies that did not answer the question
  std::uint64_t icmp_errors_passed = 0;  // from the network about the guest's datagrams
  std::uint64_t retransmissions = 0;     // towards the guest
  std::uint64_t overflow_bytes = 0;      // payload that had to wait in the NAT's memory for the host socket
  std::uint64_t bytes_in = 0;            // TCP payload host to guest, of flows that ended
  std::uint64_t bytes_out = 0;           // guest to host
  std::uint32_t flows_open = 0;
  std::uint32_t flows_connecting = 0;
  std::uint32_t udp_flows_open = 0;
  std::uint32_t echo_flows_open = 0;
  std::array<std::uint64_t, kCloseReasons> closed{};
  std::array<std::uint64_t, kRefuseReasons> refused{};
  std::array<std::uint64_t, kDropReasons> dropped{};

  [[nodiscard]] std::uint64_t operator[](CloseReason reason) const {
    return closed.at(static_cast<std::size_t>(reason));
  }
  [[nodiscard]] std::uint64_t operator[](RefuseReason reason) const {
    return refused.at(static_cast<std::size_t>(reason));
  }
  [[nodiscard]] std::uint64_t operator[](DropReason reason) const {
    return dropped.at(static_cast<std::size_t>(reason));
  }
};

// A report for people: totals, then one line for each reason whose counter is not zero.
[[nodiscard]] std::string to_text(const NatCounters& counters);

}  // namespace glassbox::net
