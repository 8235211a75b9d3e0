// ICMP and ICMPv6 errors for the guest (RFC 792, RFC 4443). Each quotes the beginning of the packet that it
// is about, as the guest sent it.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/reasons.h"
#include "net/flow/flow_key.h"
#include "net/link/guest_link.h"

namespace glassbox::net {

enum class IcmpErrorKind {
  kNetworkUnreachable,
  kHostUnreachable,
  kPortUnreachable,
  kProhibited,
  kTimeExceeded
};

// The error that reports a refusal to the guest: prohibited, no listener, or no route.
[[nodiscard]] IcmpErrorKind icmp_kind_of(RefuseReason reason);

struct IcmpError {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t info = 0;  // the field after the checksum: the MTU of "too big", else 0
  IpAddress from;          // the sender of the error
};

// An error from the gateway; a caller may change the sender.
[[nodiscard]] IcmpError make_icmp_error(IcmpErrorKind kind, bool v6);

// The guest's packet that an error is about: protocol, key, the known beginning of its transport header and
// payload, and the length that both had in the packet.
struct QuotedPacket {
  std::uint8_t protocol = 0;
  FlowKey key;
  std::span<const std::uint8_t> transport;
  std::size_t transport_bytes = 0;
};

// The most bytes of transport header and payload that an error can quote.
inline constexpr std::size_t kIcmpErrorQuote = 1192;

// Sends the error, except about a packet to a multicast or broadcast address (RFC 1122, 3.2.2).
void send_icmp_error(GuestLink& link, const IcmpError& error, const QuotedPacket& packet);

// Sends one ICMP message in place: kIcmpFront bytes of room for the headers, then the message. The checksum
// is filled in here.
inline constexpr std::size_t kIcmpFront = kEthernetHeader + 40;  // an IPv6 header has 40
void send_icmp(GuestLink& link, std::span<std::uint8_t> front_and_message, const IpAddress& from,
               const IpAddress& to);

}  // namespace glassbox::net
