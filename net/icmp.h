// ICMP from the guest (RFC 792). Our own addresses answer echo requests themselves, those to others go out
// (net/echo.h). Whatever else a guest says in ICMP is dropped: nothing outside waits for it.
//
// Thread: the network thread.
#pragma once

#include "net/echo.h"
#include "net/ip_input.h"

namespace glassbox::net {

class Icmp {
 public:
  Icmp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
       NatCounters& counters)
      : link_(link), echo_(loop, link, policy, admission, counters) {}

  // Takes one message, of which nothing but the length is checked yet.
  [[nodiscard]] DropReason on_message(const IpPacket& packet, const IovSlice& message);
  [[nodiscard]] Echo& echo() { return echo_; }

 private:
  GuestLink& link_;
  Echo echo_;
  std::array<std::uint8_t, kIcmpFront + kMaxIpPacket> room_;  // one message, with headers for an answer
};

}  // namespace glassbox::net
