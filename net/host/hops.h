// The hop limit of the guest's packets. The gateway is the first hop: it answers for packets that end at it,
// and sets what is left on the host socket where it matters: for datagrams, echo requests, and a TCP flow's
// SYN.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace glassbox::net {

// No system begins with so few: whoever sends them counts hops (traceroute begins with 1, and gives up at 30
// unless told otherwise). More than these the host's own limit stands for, which costs no system call.
inline constexpr std::uint8_t kCountedHops = 48;

// What a host socket is to be set to for a TTL of more than 1; 0: the host's own.
[[nodiscard]] constexpr std::uint8_t hops_from_here(std::uint8_t ttl) {
  return ttl <= kCountedHops ? static_cast<std::uint8_t>(ttl - 1) : std::uint8_t{0};
}

inline void set_hops(int fd, bool v6, std::uint8_t hops) {
  const int value = hops == 0 ? -1 : hops;
  if (v6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value, sizeof(value));
  } else {
    ::setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof(value));
  }
}

}  // namespace glassbox::net
