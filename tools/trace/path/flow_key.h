// How a connection is named on both sides: IP version and the two ports. A guest may have one connection of
// either version between the same ports at once.
#pragma once

#include <linux/if_ether.h>
#include <netinet/tcp.h>

#include <cstdint>
#include <unordered_map>

#include "bpf/event_args.h"

namespace glassbox::trace {

struct FlowPorts {
  bool six = false;  // IPv6; what does not say is taken for IPv4
  std::uint16_t guest = 0, peer = 0;
};

// A key for maps.
[[nodiscard]] constexpr std::uint64_t flow_key(bool six, std::uint64_t guest_port, std::uint64_t peer_port) {
  return (six ? std::uint64_t{1} << 32 : 0) | (guest_port & 0xffff) << 16 | (peer_port & 0xffff);
}
[[nodiscard]] constexpr std::uint64_t flow_key(const FlowPorts& ports) {
  return flow_key(ports.six, ports.guest, ports.peer);
}

// An address as events have it: IPv4 is mapped (::ffff:a.b.c.d), none is all zeros.
[[nodiscard]] constexpr bool is_ipv6(std::uint64_t hi, std::uint64_t lo) {
  return (hi != 0 || lo >> 32 != 0xffff) && (hi | lo) != 0;
}

// The key of a guest_xmit or guest_receive.
[[nodiscard]] inline std::uint64_t frame_key(const gb_event& e) {
  return visit_args(e, [](const auto& a) -> std::uint64_t {
    if constexpr (requires {
                    a.local_port;
                    a.payload;
                  })
      return flow_key(is_ipv6(a.peer_hi, a.peer_lo), a.local_port, a.peer_port);
    else
      return 0;
  });
}

// A frame on the host's side has no payload length: PSH tells, or that it is longer than any frame without
// payload (Ethernet, IPv6 and TCP headers with all options).
[[nodiscard]] constexpr bool looks_like_payload(const FrameArgs& frame) {
  constexpr std::uint64_t kMaxBareFrame = ETH_HLEN + 40 + 60;
  return (frame.tcp_flags & TH_PUSH) != 0 || frame.len > kMaxBareFrame;
}

// The IP version of sockets, by skaddr: the calls on a socket name its ports only. Events in time order,
// since the kernel uses an address again.
class SocketVersions {
 public:
  void note(const gb_event& e) {
    visit_args(e, [this](const auto& a) {
      if constexpr (requires {
                      a.skaddr;
                      a.peer_hi;
                    })
        set(a.skaddr, a.peer_hi, a.peer_lo);
      else if constexpr (requires {
                           a.skaddr;
                           a.dst_hi;
                         })
        set(a.skaddr, a.dst_hi, a.dst_lo);
    });
  }
  [[nodiscard]] bool six(std::uint64_t skaddr) const {
    const auto it = six_.find(skaddr);
    return it != six_.end() && it->second;
  }
  // The key of the connection that a call on a socket is about; the local port is taken for the guest's.
  [[nodiscard]] std::uint64_t flow_key_of(const gb_event& call) const {
    const Ports ports = ports_of(call);
    return flow_key(six(skaddr_of(call)), ports.local, ports.peer);
  }

 private:
  void set(std::uint64_t skaddr, std::uint64_t hi, std::uint64_t lo) {
    if ((hi | lo) != 0) six_[skaddr] = is_ipv6(hi, lo);
  }
  std::unordered_map<std::uint64_t, bool> six_;
};

}  // namespace glassbox::trace
