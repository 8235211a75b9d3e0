#include "net/icmp/icmp.h"

#include "net/host/hops.h"
#include "net/icmp/icmp_error.h"
#include "net/link/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::uint8_t kEchoReply = 0;
constexpr std::uint8_t kEchoRequest = 8;
constexpr std::uint8_t kEchoRequest6 = 128;
constexpr std::uint8_t kEchoReply6 = 129;

}  // namespace

DropReason Icmp::on_message(const IpPacket& packet, const IovSlice& payload) {
  const bool v6 = !packet.source.is_v4();
  const std::size_t bytes = payload.bytes();
  if (bytes < kIcmpHeader) return DropReason::kBadIcmp;
  const auto room = std::span(room_).first(kIcmpFront + bytes);
  const auto message = room.subspan(kIcmpFront);
  iov_gather(payload.span(), message.data(), bytes);
  Checksum sum;
  if (v6) sum.add_pseudo_header(packet.source, packet.destination, kProtocolIcmpv6, bytes);
  sum.add(message);
  if (sum.value() != 0) return DropReason::kBadChecksum;
  if (v6 && NeighbourDiscovery::is_for(message[0])) return neighbours_.on_message(packet, message);
  if (packet.source == kUnspecified6) return DropReason::kBadSource;
  if (message[0] != (v6 ? kEchoRequest6 : kEchoRequest) || message[1] != 0) return DropReason::kBadIcmp;
  if (is_ours(packet.destination)) {
    message[0] = v6 ? kEchoReply6 : kEchoReply;
    send_icmp(link_, room, packet.destination, packet.source);
    return DropReason::kNone;
  }
  if (packet.hops <= 1) {
    const FlowKey key{packet.source, packet.destination, 0, 0};
    send_icmp_error(link_, make_icmp_error(IcmpErrorKind::kTimeExceeded, v6),
                    {v6 ? kProtocolIcmpv6 : kProtocolIcmp, key, message, bytes});
    return DropReason::kHopsEnded;
  }
  echo_.on_request(packet.source, packet.destination, hops_from_here(packet.hops), message);
  return DropReason::kNone;
}

}  // namespace glassbox::net
