// What of a loss counter is of one event or one hook: "ring_full" of rx_inject, "recursion_misses" of
// fexit/tcp_recvmsg.
#pragma once

#include <cstdint>
#include <string>

namespace glassbox::trace {

struct DropShare {
  std::string counter;
  std::string what;  // a hook's name; on the way from guest to host an event's is its kind, in digits
  std::uint64_t count = 0;
};

}  // namespace glassbox::trace
