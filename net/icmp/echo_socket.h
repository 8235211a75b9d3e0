// The two ways for an ICMP echo out of a host: a ping socket, which any user in the range of
// net.ipv4.ping_group_range may open (icmp(7)), and a raw socket, which needs CAP_NET_RAW (raw(7)).
#pragma once

#include "net/inet.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

enum class EchoWay : std::uint8_t { kNone, kPing, kRaw };

struct EchoSocket {
  UniqueFd fd;
  EchoWay way = EchoWay::kNone;
  int error = 0;  // where there is none
};

// Non-blocking, not connected yet. A ping socket is preferred: the kernel picks the identifier and gives it
// its own replies alone, where a raw socket sees those of everybody.
[[nodiscard]] EchoSocket open_echo_socket(bool v6);

}  // namespace glassbox::net
