// The part of a loss counter that belongs to one event or one hook: "ring_full" of rx_inject,
// "recursion_misses" of fexit/tcp_recvmsg.
#pragma once

#include <cstdint>
#include <string>

namespace glassbox::bpf {

struct DropShare {
  std::string counter;
  std::string what;  // the hook's name, or the event's kind in digits
  std::uint64_t count = 0;
};

}  // namespace glassbox::bpf
