// The name of a connection on both sides: IP version and the two ports. A guest may have a connection of each
// version between the same ports at once. Pure.
#pragma once

#include <linux/if_ether.h>
#include <netinet/tcp.h>

#include <cstdint>
#include <unordered_map>

#include "bpf/event_args.h"

namespace glassbox::trace {

struct FlowPorts {
  bool ipv6 = false;  // an event that does not say counts as IPv4
  std::uint16_t guest = 0, peer = 0;
};

// The same as a key for maps. Ports are in host byte order.
[[nodiscard]] constexpr std::uint64_t flow_key(bool ipv6, std::uint64_t guest_port, std::uint64_t peer_port) {
  return (ipv6 ? std::uint64_t{1} << 32 : 0) | (guest_port & 0xffff) << 16 | (peer_port & 0xffff);
}
[[nodiscard]] constexpr std::uint64_t flow_key(const FlowPorts& ports) {
  return flow_key(ports.ipv6, ports.guest, ports.peer);
}

// True for an IPv6 address in the two halves that events carry. IPv4 is mapped (::ffff:a.b.c.d); no address
// is all zeros.
[[nodiscard]] constexpr bool is_ipv6(std::uint64_t hi, std::uint64_t lo) {
  return (hi != 0 || lo >> 32 != 0xffff) && (hi | lo) != 0;
}

// The key of a guest_xmit or guest_receive; 0 for other events.
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

// Whether a frame that the host saw carries payload. Its event has no payload length: so PSH decides, or a
// frame longer than any without payload (Ethernet, IPv6 and TCP headers with all options).
[[nodiscard]] constexpr bool looks_like_payload(const FrameArgs& frame) {
  constexpr std::uint64_t kMaxBareFrame = ETH_HLEN + 40 + 60;
  return (frame.tcp_flags & TH_PUSH) != 0 || frame.len > kMaxBareFrame;
}

// Remembers the IP version of sockets, by skaddr, because events of calls on a socket carry only its ports.
// Feed it events in order of time: the kernel reuses addresses.
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
  [[nodiscard]] bool ipv6(std::uint64_t skaddr) const {
    const auto it = ipv6_.find(skaddr);
    return it != ipv6_.end() && it->second;
  }
  // The key of the connection that a call on a socket belongs to. The local port counts as the guest's.
  [[nodiscard]] std::uint64_t flow_key_of(const gb_event& call) const {
    const Ports ports = ports_of(call);
    return flow_key(ipv6(skaddr_of(call)), ports.local, ports.peer);
  }

 private:
  void set(std::uint64_t skaddr, std::uint64_t hi, std::uint64_t lo) {
    if ((hi | lo) != 0) ipv6_[skaddr] = is_ipv6(hi, lo);
  }
  std::unordered_map<std::uint64_t, bool> ipv6_;
};

}  // namespace glassbox::trace
