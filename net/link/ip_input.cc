#include "net/link/ip_input.h"

#include "net/link/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::uint16_t kFragmentBits = 0x3fff;  // "more fragments" and the offset

// IPv6 extension headers (RFC 8200, 4; RFC 7045 lists them all).
enum NextHeader : std::uint8_t {
  kHopByHop = 0,
  kRouting = 43,
  kFragmentHeader = 44,
  kAuthentication = 51,
  kDestinationOptions = 60,
  kMobility = 135,
  kHostIdentity = 139,
  kShim6 = 140,
};

// Reads MSS and window scale from the options. Anything malformed ends the list (RFC 9293, 3.1; RFC 7323,
// 2.2).
void parse_options(std::span<const std::uint8_t> options, TcpHeader& tcp) {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t kind = options[at];
    if (kind == 0) return;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size()) return;
    const std::size_t length = options[at + 1];
    if (length < 2 || length > options.size() - at) return;
    if (kind == 2 && length == 4) tcp.mss = load_be16(&options[at + 2]);
    if (kind == 3 && length == 3) tcp.scale = static_cast<std::int8_t>(options[at + 2] & 0x7f);
    at += length;
  }
}

}  // namespace

DropReason parse_ipv4(std::span<const std::uint8_t> headers, std::size_t frame_bytes, IpPacket& packet) {
  if (headers.size() < kIpv4Header) return DropReason::kShortFrame;
  if (headers[0] >> 4 != 4) return DropReason::kBadIpHeader;
  packet.header_bytes = std::size_t{headers[0] & 0x0fU} * 4;
  packet.total_bytes = load_be16(&headers[2]);
  if (packet.header_bytes < kIpv4Header || packet.total_bytes < packet.header_bytes) {
    return DropReason::kBadIpHeader;
  }
  if (packet.header_bytes > headers.size() || packet.total_bytes > frame_bytes)
    return DropReason::kShortFrame;
  Checksum sum;
  sum.add(headers.first(packet.header_bytes));
  if (sum.value() != 0) return DropReason::kBadIpChecksum;
  if ((load_be16(&headers[6]) & kFragmentBits) != 0) return DropReason::kFragment;
  packet.hops = headers[8];
  packet.protocol = headers[9];
  packet.source = IpAddress::from_v4(load_be32(&headers[12]));
  packet.destination = IpAddress::from_v4(load_be32(&headers[16]));
  return DropReason::kNone;
}

// Extension headers are not followed. No ordinary TCP, UDP, echo or neighbour message has one; a hostile
// guest would use them to hide something. (Listener reports have one, but the NAT does not take part in
// them.)
DropReason parse_ipv6(std::span<const std::uint8_t> headers, std::size_t frame_bytes, IpPacket& packet) {
  if (headers.size() < kIpv6Header) return DropReason::kShortFrame;
  if (headers[0] >> 4 != 6) return DropReason::kBadIpHeader;
  packet.header_bytes = kIpv6Header;
  packet.total_bytes = kIpv6Header + load_be16(&headers[4]);
  if (packet.total_bytes > frame_bytes) return DropReason::kShortFrame;
  packet.protocol = headers[6];
  packet.hops = headers[7];
  packet.source = IpAddress::load(&headers[8]);
  packet.destination = IpAddress::load(&headers[24]);
  switch (packet.protocol) {
    case kFragmentHeader:
      return DropReason::kFragment;
    case kHopByHop:
    case kRouting:
    case kAuthentication:
    case kDestinationOptions:
    case kMobility:
    case kHostIdentity:
    case kShim6:
      return DropReason::kExtensionHeader;
    default:
      break;
  }
  // Never valid on a wire (RFC 4038, 4.2), and to the NAT they would look like IPv4.
  if (packet.source.is_v4() || packet.destination.is_v4()) return DropReason::kMappedAddress;
  return DropReason::kNone;
}

DropReason parse_tcp(std::span<const std::uint8_t> headers, std::size_t bytes, TcpHeader& tcp,
                     std::size_t& header_bytes) {
  if (bytes < kTcpHeader || headers.size() < kTcpHeader) return DropReason::kBadTcpHeader;
  header_bytes = static_cast<std::size_t>(headers[12] >> 4) * 4;
  if (header_bytes < kTcpHeader || header_bytes > bytes || header_bytes > headers.size()) {
    return DropReason::kBadTcpHeader;
  }
  tcp.key.guest_port = load_be16(headers.data());
  tcp.key.dst_port = load_be16(&headers[2]);
  tcp.seq = load_be32(&headers[4]);
  tcp.ack = load_be32(&headers[8]);
  tcp.flags = headers[13];
  tcp.window = load_be16(&headers[14]);
  tcp.mss = 0;
  tcp.scale = -1;
  parse_options(headers.subspan(kTcpHeader, header_bytes - kTcpHeader), tcp);
  return DropReason::kNone;
}

}  // namespace glassbox::net
