#include "net/link/transport_input.h"

#include <utility>

#include "net/link/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::uint8_t kVnetNeedsChecksum = 1;  // virtio 1.2, 5.1.6

// With NEEDS_CSUM the field holds the sum of the pseudo-header only: the frame has not left the guest's
// memory, so there is nothing to check.
bool checksum_is_wrong(const GuestFrame& frame, const IpPacket& packet, std::span<const std::uint8_t> header,
                       const IovSlice& payload) {
  if ((frame.vnet.flags & kVnetNeedsChecksum) != 0) return false;
  Checksum sum;
  sum.add_pseudo_header(packet.source, packet.destination, packet.protocol, header.size() + payload.bytes());
  sum.add(header);
  sum.add(payload.span());
  return sum.value() != 0;
}

}  // namespace

DropReason read_tcp(const GuestFrame& frame, const IpPacket& packet, TcpHeader& tcp, IovSlice& payload) {
  const auto transport = frame.transport(packet);
  const std::size_t bytes = packet.total_bytes - packet.header_bytes;
  std::size_t header_bytes = 0;
  const DropReason reason = parse_tcp(transport, bytes, tcp, header_bytes);
  if (reason != DropReason::kNone) return reason;
  tcp.key.guest = packet.source;
  tcp.key.dst = packet.destination;
  tcp.hops = packet.hops;
  payload.assign(frame.pieces, kEthernetHeader + packet.header_bytes + header_bytes, bytes - header_bytes);
  if (payload.bytes() != bytes - header_bytes) return DropReason::kTooLong;
  if (checksum_is_wrong(frame, packet, transport.first(header_bytes), payload)) {
    return DropReason::kBadChecksum;
  }
  return DropReason::kNone;
}

DropReason read_udp(const GuestFrame& frame, const IpPacket& packet, FlowKey& key, IovSlice& payload) {
  const auto transport = frame.transport(packet);
  const std::size_t bytes = packet.total_bytes - packet.header_bytes;
  if (bytes < kUdpHeader || transport.size() < kUdpHeader) return DropReason::kBadUdp;
  const std::size_t length = load_be16(&transport[4]);
  if (length < kUdpHeader || length > bytes) return DropReason::kBadUdp;
  key = {packet.source, packet.destination, load_be16(transport.data()), load_be16(&transport[2])};
  payload.assign(frame.pieces, kEthernetHeader + packet.header_bytes + kUdpHeader, length - kUdpHeader);
  if (payload.bytes() != length - kUdpHeader) return DropReason::kTooLong;
  // A checksum of 0 means "none", which IPv6 does not allow (RFC 768; RFC 8200, 8.1).
  const bool absent = load_be16(&transport[6]) == 0 && packet.source.is_v4();
  if (!absent && checksum_is_wrong(frame, packet, transport.first(kUdpHeader), payload)) {
    return DropReason::kBadChecksum;
  }
  return DropReason::kNone;
}

}  // namespace glassbox::net
