#include "net/icmp/icmp_error.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "net/link/checksum.h"

namespace glassbox::net {
namespace {

// As much of the packet as fits into 576 bytes (RFC 1812, 4.3.2.3), or 1280 (RFC 4443, 2.4).
constexpr std::size_t kMaxErrorPacket = 576;
static_assert(kIcmpErrorQuote == kMinIpv6Mtu - kIpv6Header - kIcmpHeader - kIpv6Header);
static_assert(kIcmpFront == kEthernetHeader + kIpv6Header);

constexpr std::uint8_t kUnreachable = 3;
constexpr std::uint8_t kTimeExceeded = 11;
constexpr std::uint8_t kUnreachable6 = 1;
constexpr std::uint8_t kTimeExceeded6 = 3;

// Addresses of no single host (RFC 1122, 3.2.2; RFC 4443, 2.4): groups, reserved addresses, broadcasts.
bool is_no_host(const IpAddress& address) {
  if (!address.is_v4()) return is_multicast6(address);
  constexpr Ipv4 kNetworkBroadcast = kNetwork | ~Ipv4{0} >> kNetworkPrefix;
  return in_net(address.v4(), ipv4(224, 0, 0, 0), 3) || address.v4() == kNetworkBroadcast;
}

IcmpError make_icmp4_error(IcmpErrorKind kind) {
  const IpAddress gateway = IpAddress::from_v4(kGatewayIp);
  switch (kind) {
    case IcmpErrorKind::kNetworkUnreachable:
      return {kUnreachable, 0, 0, gateway};
    case IcmpErrorKind::kHostUnreachable:
      return {kUnreachable, 1, 0, gateway};
    case IcmpErrorKind::kPortUnreachable:
      return {kUnreachable, 3, 0, gateway};
    case IcmpErrorKind::kProhibited:
      return {kUnreachable, 13, 0, gateway};  // RFC 1812, 5.2.7.1
    case IcmpErrorKind::kTimeExceeded:
      break;
  }
  return {kTimeExceeded, 0, 0, gateway};
}

// RFC 4443, 3.1 and 3.3
IcmpError make_icmp6_error(IcmpErrorKind kind) {
  switch (kind) {
    case IcmpErrorKind::kNetworkUnreachable:
      return {kUnreachable6, 0, 0, kGatewayIp6};
    case IcmpErrorKind::kHostUnreachable:
      return {kUnreachable6, 3, 0, kGatewayIp6};
    case IcmpErrorKind::kPortUnreachable:
      return {kUnreachable6, 4, 0, kGatewayIp6};
    case IcmpErrorKind::kProhibited:
      return {kUnreachable6, 1, 0, kGatewayIp6};
    case IcmpErrorKind::kTimeExceeded:
      break;
  }
  return {kTimeExceeded6, 0, 0, kGatewayIp6};
}

}  // namespace

IcmpErrorKind icmp_kind_of(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kConnectionRefused:
      return IcmpErrorKind::kPortUnreachable;
    case RefuseReason::kNetworkUnreachable:
      return IcmpErrorKind::kNetworkUnreachable;
    case RefuseReason::kHostLoopbackClosed:
    case RefuseReason::kHostAddressClosed:
    case RefuseReason::kDenied:
    case RefuseReason::kHostPolicy:
    case RefuseReason::kEchoClosed:
      return IcmpErrorKind::kProhibited;
    default:
      return IcmpErrorKind::kHostUnreachable;
  }
}

IcmpError make_icmp_error(IcmpErrorKind kind, bool v6) {
  return v6 ? make_icmp6_error(kind) : make_icmp4_error(kind);
}

void send_icmp_error(GuestLink& link, const IcmpError& error, const QuotedPacket& packet) {
  if (is_no_host(packet.key.dst)) return;
  std::array<std::uint8_t, kIcmpFront + kMinIpv6Mtu> room{};
  const std::size_t ip_header = ip_header_bytes(packet.key.guest);
  const std::size_t most =
      packet.key.guest.is_v4() ? kMaxErrorPacket - kIpv4Header - kIcmpHeader - kIpv4Header : kIcmpErrorQuote;
  std::uint8_t* icmp = room.data() + kIcmpFront;
  icmp[0] = error.type;
  icmp[1] = error.code;
  store_be32(icmp + 4, error.info);
  put_ip_header(icmp + kIcmpHeader, packet.protocol, packet.key.guest, packet.key.dst,
                packet.transport_bytes);
  const std::size_t quoted = std::min(packet.transport.size(), most);
  std::memcpy(icmp + kIcmpHeader + ip_header, packet.transport.data(), quoted);
  send_icmp(link, std::span(room).first(kIcmpFront + kIcmpHeader + ip_header + quoted), error.from,
            packet.key.guest);
}

void send_icmp(GuestLink& link, std::span<std::uint8_t> room, const IpAddress& from, const IpAddress& to) {
  const auto message = room.subspan(kIcmpFront);
  const std::uint8_t protocol = from.is_v4() ? kProtocolIcmp : kProtocolIcmpv6;
  store_be16(&message[2], 0);
  Checksum sum;
  if (!from.is_v4()) sum.add_pseudo_header(from, to, protocol, message.size());  // RFC 4443, 2.3
  sum.add(message);
  store_be16(&message[2], sum.value());
  link.send_ip(room.subspan(kIcmpFront - ip_header_bytes(from) - kEthernetHeader), protocol, from, to);
}

}  // namespace glassbox::net
