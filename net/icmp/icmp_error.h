// ICMP and ICMPv6 errors for the guest (RFC 792, RFC 4443), each with the beginning of the packet that it is
// about, as the guest sent it.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow/flow_key.h"
#include "net/link/guest_link.h"
#include "net/reasons.h"

namespace glassbox::net {

enum class IcmpErrorKind {
  kNetworkUnreachable,
  kHostUnreachable,
  kPortUnreachable,
  kProhibited,
  kTimeExceeded
};

// What a refusal is for the guest: that it may not, that nobody listens, or that there is no way.
[[nodiscard]] IcmpErrorKind icmp_kind_of(RefuseReason reason);

struct IcmpError {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t info = 0;  // what follows the checksum: the MTU of "too big", else 0
  IpAddress from;          // who tells
};

// Told by the gateway, unless somebody else is named later.
[[nodiscard]] IcmpError make_icmp_error(IcmpErrorKind kind, bool v6);

// The guest's packet: its protocol and key, its transport header with as much of what followed as is known,
// and how many bytes header and payload had.
struct QuotedPacket {
  std::uint8_t protocol = 0;
  FlowKey key;
  std::span<const std::uint8_t> transport;
  std::size_t transport_bytes = 0;
};

// How much of a transport header and payload an error can quote at most.
inline constexpr std::size_t kIcmpErrorQuote = 1192;

// Says nothing about a packet to a multicast or broadcast address (RFC 1122, 3.2.2).
void send_icmp_error(GuestLink& link, const IcmpError& error, const QuotedPacket& packet);

// One ICMP message in place: kIcmpFront bytes for the headers in front, then the message, whose checksum is
// filled in.
inline constexpr std::size_t kIcmpFront = kEthernetHeader + 40;  // an IPv6 header has 40
void send_icmp(GuestLink& link, std::span<std::uint8_t> front_and_message, const IpAddress& from,
               const IpAddress& to);

}  // namespace glassbox::net
