// The hop limit of the guest's packets. The gateway is the first hop. It answers packets whose limit ends
// here, and sets the rest of the limit on the host socket where it matters: for datagrams, echo requests and
// the SYN of a TCP flow.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace glassbox::net {

// No system starts with a limit this small, so a program that sends one counts hops (traceroute begins with 1
// and gives up at 30 by default). For a larger limit the host's own is used, which costs no system call.
inline constexpr std::uint8_t kCountedHops = 48;

// The limit to set on a host socket, for a TTL of more than 1; 0: the host's own.
[[nodiscard]] constexpr std::uint8_t hops_from_here(std::uint8_t ttl) {
  return ttl <= kCountedHops ? static_cast<std::uint8_t>(ttl - 1) : std::uint8_t{0};
}

// One setsockopt(); hops as hops_from_here() returns it.
inline void set_hops(int fd, bool v6, std::uint8_t hops) {
  const int value = hops == 0 ? -1 : hops;
  if (v6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value, sizeof(value));
  } else {
    ::setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof(value));
  }
}

}  // namespace glassbox::net
