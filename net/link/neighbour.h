// Neighbour and router discovery (RFC 4861) for the guest's network.
//
// Solicitations are answered for the gateway's and the name server's addresses and for no other, so duplicate
// address detection finds the guest's own addresses free. The NAT solicits nothing: it learns the guest's
// link address from its frames.
//
// A guest that solicits routers gets an advertisement at once, and from then on one every ten minutes. A
// guest that configures itself statically gets none. The advertisement makes the gateway the default router
// only while the host has a route to the IPv6 Internet, so that otherwise the guest falls back to IPv4 by
// itself.
//
// Thread: the network thread.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/reasons.h"
#include "net/link/guest_link.h"
#include "net/link/ip_input.h"
#include "net/loop/event_loop.h"

namespace glassbox::net {

class NeighbourDiscovery {
 public:
  NeighbourDiscovery(EventLoop& loop, GuestLink& link) : loop_(loop), link_(link) {}

  [[nodiscard]] static bool is_for(std::uint8_t icmp_type) { return icmp_type >= 133 && icmp_type <= 137; }
  // Takes one message of at least kIcmpHeader bytes whose checksum is right.
  [[nodiscard]] DropReason on_message(const IpPacket& packet, std::span<const std::uint8_t> message);
  // When the next advertisement is due, CLOCK_MONOTONIC in nanoseconds; 0 if the guest has asked for none.
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return next_advertisement_ns_; }
  void on_deadline();

 private:
  [[nodiscard]] DropReason answer_neighbour(const IpPacket& packet, std::span<const std::uint8_t> message);
  void advertise_router(const IpAddress& to);

  EventLoop& loop_;
  GuestLink& link_;
  std::uint64_t next_advertisement_ns_ = 0;
};

}  // namespace glassbox::net
