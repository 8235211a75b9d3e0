#include "net/icmp_error.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "net/checksum.h"

namespace glassbox::net {
namespace {

// RFC 1812, 4.3.2.3: as much of the packet as fits into 576 bytes.
constexpr std::size_t kMaxErrorPacket = 576;
constexpr std::uint8_t kUnreachable = 3;
constexpr std::uint8_t kTimeExceeded = 11;

bool is_multicast(const IpAddress& address) {
  return address.is_v4() ? in_net(address.v4(), ipv4(224, 0, 0, 0), 3) : (address.hi >> 56) == 0xff;
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

IcmpError make_icmp_error(IcmpErrorKind kind, bool /*v6*/) {
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

void send_icmp_error(GuestLink& link, const IcmpError& error, const QuotedPacket& packet) {
  if (is_multicast(packet.key.dst)) return;
  constexpr std::size_t kMostTransport = kMaxErrorPacket - kIpv4Header - kIcmpHeader - kIpv4Header;
  std::array<std::uint8_t, kIcmpFront + kIcmpHeader + kIpv4Header + kMostTransport> room{};
  std::uint8_t* icmp = room.data() + kIcmpFront;
  icmp[0] = error.type;
  icmp[1] = error.code;
  store_be32(icmp + 4, error.info);
  put_ipv4_header(icmp + kIcmpHeader, packet.protocol, packet.key.guest.v4(), packet.key.dst.v4(),
                  packet.transport_bytes);
  const std::size_t quoted = std::min(packet.transport.size(), kMostTransport);
  std::memcpy(icmp + kIcmpHeader + kIpv4Header, packet.transport.data(), quoted);
  send_icmp(link, std::span(room).first(kIcmpFront + kIcmpHeader + kIpv4Header + quoted), error.from,
            packet.key.guest);
}

void send_icmp(GuestLink& link, std::span<std::uint8_t> room, const IpAddress& from, const IpAddress& to) {
  const auto message = room.subspan(kIcmpFront);
  store_be16(&message[2], 0);
  Checksum sum;
  sum.add(message);
  store_be16(&message[2], sum.value());
  link.send_ipv4(room.subspan(kIcmpFront - kIpv4Header - kEthernetHeader), kProtocolIcmp, from.v4(), to.v4());
}

}  // namespace glassbox::net
