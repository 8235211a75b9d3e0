// Neighbour and router discovery (RFC 4861) for the guest's network.
//
// The gateway and the name server answer solicitations for their addresses and for no other, so duplicate
// address detection finds the guest's own addresses free. Nothing is ever solicited: the guest's link address
// is that of its frames.
//
// A guest that solicits routers is told of the network at once and from then on every ten minutes; one that
// configures itself statically hears nothing. The advertisement makes us the default router only while the
// host has a way to the IPv6 Internet, so that a guest without one falls back to IPv4 by itself.
//
// Thread: the network thread.
#pragma once

#include <cstdint>
#include <span>

#include "net/link/guest_link.h"
#include "net/link/ip_input.h"
#include "net/loop/event_loop.h"
#include "net/reasons.h"

namespace glassbox::net {

class NeighbourDiscovery {
 public:
  NeighbourDiscovery(EventLoop& loop, GuestLink& link) : loop_(loop), link_(link) {}

  [[nodiscard]] static bool is_for(std::uint8_t icmp_type) { return icmp_type >= 133 && icmp_type <= 137; }
  // Takes one message whose checksum is right; it has at least kIcmpHeader bytes.
  [[nodiscard]] DropReason on_message(const IpPacket& packet, std::span<const std::uint8_t> message);
  // Of the next advertisement; 0 when nobody asked for any.
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
