// ICMP towards the guest: errors about its TCP connections, and the echo of our own addresses (RFC 792).
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

// Answers an echo request; message is the whole ICMP message, checked already and at most one MTU.
void send_echo_reply(GuestLink& link, Ipv4 from, Ipv4 to, std::span<const std::uint8_t> message);

}  // namespace glassbox::net
