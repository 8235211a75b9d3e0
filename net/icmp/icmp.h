// ICMP and ICMPv6 from the guest (RFC 792, RFC 4443). Echo requests to the gateway and the name server are
// answered here, those to other hosts go out (net/icmp/echo.h), and neighbour discovery is passed on
// (net/link/neighbour.h). All other messages are dropped: nothing outside waits for them.
//
// Thread: the network thread.
#pragma once

#include "net/icmp/echo.h"
#include "net/link/ip_input.h"
#include "net/link/neighbour.h"

namespace glassbox::net {

class Icmp {
 public:
  Icmp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
       NatCounters& counters)
      : link_(link), echo_(loop, link, policy, admission, counters), neighbours_(loop, link) {}

  // Takes one message of the packet, whose length alone is checked so far. Returns why it was dropped, or
  // kNone.
  [[nodiscard]] DropReason on_message(const IpPacket& packet, const IovSlice& message);
  [[nodiscard]] std::uint64_t next_deadline_ns() const {
    return earlier(echo_.next_deadline_ns(), neighbours_.next_deadline_ns());
  }
  void on_deadline() {
    echo_.on_deadline();
    neighbours_.on_deadline();
  }

 private:
  GuestLink& link_;
  Echo echo_;
  NeighbourDiscovery neighbours_;
  std::array<std::uint8_t, kIcmpFront + kMaxIpPacket> room_;  // one message, and the headers of an answer
};

}  // namespace glassbox::net
