// How a connection is named on both sides: IP version and the two ports. A guest may have one connection of
// either version between the same ports at once.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "bpf/events.h"

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
[[nodiscard]] constexpr std::uint64_t frame_key(const gb_event& e) {
  return flow_key(is_ipv6(e.arg[5], e.arg[6]), e.arg[0], e.arg[1]);
}

// The IP version of sockets, by skaddr: the calls on a socket name its ports only. Events in time order,
// since the kernel uses an address again.
class SocketVersions {
 public:
  void note(const gb_event& e) {
    if (e.kind == GB_KIND_guest_sock_state || e.kind == GB_KIND_host_sock_state)
      set(e.arg[0], e.arg[8], e.arg[9]);
    else if (e.kind == GB_KIND_guest_connect_begin)
      set(e.arg[0], e.arg[3], e.arg[4]);
    else if (e.kind == GB_KIND_host_accept)
      set(e.arg[1], e.arg[6], e.arg[7]);
  }
  [[nodiscard]] bool six(std::uint64_t skaddr) const {
    const auto it = six_.find(skaddr);
    return it != six_.end() && it->second;
  }

 private:
  void set(std::uint64_t skaddr, std::uint64_t hi, std::uint64_t lo) {
    if ((hi | lo) != 0) six_[skaddr] = is_ipv6(hi, lo);
  }
  std::unordered_map<std::uint64_t, bool> six_;
};

}  // namespace glassbox::trace
