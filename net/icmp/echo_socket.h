// A socket for ICMP echo. There are two kinds: a ping socket, which users whose group is within
// net.ipv4.ping_group_range may open (icmp(7)), and a raw socket, which needs CAP_NET_RAW (raw(7)).
#pragma once

#include "net/inet.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

enum class EchoWay : std::uint8_t { kNone, kPing, kRaw };

struct EchoSocket {
  UniqueFd fd;
  EchoWay way = EchoWay::kNone;
  int error = 0;  // an errno if way is kNone
};

// Opens a non-blocking socket that is not connected yet. A ping socket is preferred: the kernel chooses its
// identifier and gives it the replies to its own requests only, while a raw socket receives all replies.
[[nodiscard]] EchoSocket open_echo_socket(bool v6);

}  // namespace glassbox::net
