// ICMP (RFC 792): errors about the guest's connections, and echo.
//
// Thread: the network thread.
#pragma once

#include <cstdint>
#include <span>

#include "net/guest_link.h"

namespace glassbox::net {

inline constexpr std::uint8_t kIcmpHostUnreachable = 1;  // codes of type 3
inline constexpr std::uint8_t kIcmpPortUnreachable = 3;

// Destination unreachable for a packet of the guest, of which IP header and the first 8 bytes of the
// transport are quoted. It comes from the gateway.
void send_unreachable(GuestLink& link, std::uint8_t code, std::uint8_t protocol, const FlowKey& key,
                      std::span<const std::uint8_t, 8> transport);

// What the guest sends: our own addresses answer echo requests themselves.
class Icmp {
 public:
  explicit Icmp(GuestLink& link) : link_(link) {}
  // Takes one message, of which nothing but the length is checked yet.
  [[nodiscard]] DropReason on_message(Ipv4 source, Ipv4 destination, const IovSlice& message);

 private:
  GuestLink& link_;
};

}  // namespace glassbox::net
