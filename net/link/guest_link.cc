#include "net/link/guest_link.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "net/count.h"
#include "net/link/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kMaxTcpHeaders = kEthernetHeader + kIpv6Header + kTcpHeader;
constexpr std::size_t kMaxUdpHeaders = kEthernetHeader + kIpv6Header + kUdpHeader;
constexpr std::size_t kMaxOptions = 8;
constexpr std::uint8_t kTtl = 64;
constexpr std::uint8_t kHopLimit = 255;
constexpr std::uint16_t kDontFragment = 0x4000;

// virtio 1.2, 5.1.6
constexpr std::uint8_t kVnetNeedsChecksum = 1;
constexpr std::uint8_t kVnetGsoTcp4 = 1;
constexpr std::uint8_t kVnetGsoTcp6 = 4;
constexpr std::uint16_t kTcpChecksumOffset = 16;
constexpr std::uint16_t kUdpChecksumOffset = 6;

// Where the transport header begins in a frame of the flow.
std::size_t transport_offset(const FlowKey& key) {
  return kEthernetHeader + ip_header_bytes(key.guest);
}

}  // namespace

void put_ipv4_header(std::uint8_t* out, std::uint8_t protocol, Ipv4 source, Ipv4 destination,
                     std::size_t payload_bytes) {
  out[0] = 0x45;
  out[1] = 0;
  store_be16(out + 2, static_cast<std::uint16_t>(kIpv4Header + payload_bytes));
  store_be16(out + 4, 0);
  store_be16(out + 6, kDontFragment);
  out[8] = kTtl;
  out[9] = protocol;
  store_be16(out + 10, 0);
  store_be32(out + 12, source);
  store_be32(out + 16, destination);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(out, kIpv4Header));
  store_be16(out + 10, sum.value());
}

void put_ipv6_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                     const IpAddress& destination, std::size_t payload_bytes) {
  store_be32(out, 0x6000'0000);
  store_be16(out + 4, static_cast<std::uint16_t>(payload_bytes));
  out[6] = protocol;
  out[7] = kHopLimit;
  source.store(out + 8);
  destination.store(out + 24);
}

void put_ip_header(std::uint8_t* out, std::uint8_t protocol, const IpAddress& source,
                   const IpAddress& destination, std::size_t payload_bytes) {
  if (!source.is_v4()) return put_ipv6_header(out, protocol, source, destination, payload_bytes);
  put_ipv4_header(out, protocol, source.v4(), destination.v4(), payload_bytes);
}

std::size_t GuestLink::max_tcp_payload(const FlowKey& key, std::uint16_t mss) const {
  const auto offloads = port_.offloads();
  if (!(key.guest.is_v4() ? offloads.rx_tso4 : offloads.rx_tso6)) return mss;
  const std::size_t most = kMaxIpPacket - ip_header_bytes(key.guest) - kTcpHeader;
  return most - most % mss;
}

void GuestLink::put_ethernet(std::uint8_t* out, std::uint16_t ethertype) const {
  std::memcpy(out, guest_mac_.data(), guest_mac_.size());
  std::memcpy(out + 6, kGatewayMac.data(), kGatewayMac.size());
  store_be16(out + 12, ethertype);
}

// Writes Ethernet and IP header of a frame of the flow. Returns where the transport header begins.
std::size_t GuestLink::put_network(std::uint8_t* out, const FlowKey& key, std::uint8_t protocol,
                                   std::size_t bytes) const {
  put_ethernet(out, key.guest.is_v4() ? kEthertypeIpv4 : kEthertypeIpv6);
  put_ip_header(out + kEthernetHeader, protocol, key.dst, key.guest, bytes);
  return transport_offset(key);
}

// Writes all headers and returns their length. Without checksum offload the payload must be in place already,
// since the checksum covers it.
std::size_t GuestLink::build_tcp(std::uint8_t* out, const TcpSegment& s, std::size_t payload_bytes,
                                 VnetHeader& vnet) const {
  assert(s.options.size() <= kMaxOptions);
  const std::size_t tcp_bytes = kTcpHeader + s.options.size();
  const std::size_t start = put_network(out, *s.key, kProtocolTcp, tcp_bytes + payload_bytes);
  std::uint8_t* tcp = out + start;
  store_be16(tcp, s.key->dst_port);
  store_be16(tcp + 2, s.key->guest_port);
  store_be32(tcp + 4, s.seq);
  store_be32(tcp + 8, s.ack);
  tcp[12] = static_cast<std::uint8_t>((tcp_bytes / 4) << 4);
  tcp[13] = s.flags;
  store_be16(tcp + 14, s.window);
  store_be16(tcp + 16, 0);
  store_be16(tcp + 18, 0);
  if (!s.options.empty()) std::memcpy(tcp + kTcpHeader, s.options.data(), s.options.size());

  Checksum sum;
  sum.add_pseudo_header(s.key->dst, s.key->guest, kProtocolTcp, tcp_bytes + payload_bytes);
  if (port_.offloads().rx_csum) {
    vnet.flags = kVnetNeedsChecksum;
    vnet.csum_start = static_cast<std::uint16_t>(start);
    vnet.csum_offset = kTcpChecksumOffset;
    store_be16(tcp + 16, sum.partial());
    if (payload_bytes > s.mss && s.mss != 0) {
      vnet.gso_type = s.key->guest.is_v4() ? kVnetGsoTcp4 : kVnetGsoTcp6;
      vnet.gso_size = s.mss;
      vnet.hdr_len = static_cast<std::uint16_t>(start + tcp_bytes);
    }
  } else {
    sum.add(std::span<const std::uint8_t>(tcp, tcp_bytes));
    if (payload_bytes != 0) sum.add(payload_.span());
    store_be16(tcp + 16, sum.value());
  }
  return start + tcp_bytes;
}

bool GuestLink::send_tcp(const TcpSegment& segment) {
  std::array<std::uint8_t, kMaxTcpHeaders + kMaxOptions> headers;
  const auto room = port_.rx_reserve(transport_offset(*segment.key) + kTcpHeader + segment.options.size());
  if (room.empty()) return false;
  RxFrame frame;
  frame.bytes = build_tcp(headers.data(), segment, 0, frame.vnet);
  if (iov_scatter(room, headers.data(), frame.bytes) != frame.bytes) {
    port_.rx_cancel();
    return false;
  }
  frame.flow = segment.flow;
  frame.seq = segment.seq;
  frame.tcp_flags = segment.flags;
  frame.awaited = segment.awaited;
  frame.expects_bare_ack = segment.expects_bare_ack;
  port_.rx_commit(frame);
  return true;
}

bool GuestLink::begin(std::size_t header_bytes, std::size_t max_bytes) {
  reserved_ = port_.rx_reserve(header_bytes + max_bytes);
  if (reserved_.empty()) return false;
  payload_.assign(reserved_, header_bytes, max_bytes);
  if (payload_.bytes() != 0) return true;
  port_.rx_cancel();
  return false;
}

bool GuestLink::begin_tcp(const IpAddress& guest, std::size_t max_bytes) {
  return begin(kEthernetHeader + ip_header_bytes(guest) + kTcpHeader, max_bytes);
}

bool GuestLink::begin_udp(const IpAddress& guest, std::size_t max_bytes) {
  return begin(kEthernetHeader + ip_header_bytes(guest) + kUdpHeader, max_bytes);
}

void GuestLink::finish_udp(const FlowKey& key, std::size_t payload_bytes) {
  std::array<std::uint8_t, kMaxUdpHeaders> headers;
  payload_.truncate(payload_bytes);
  const std::size_t udp_bytes = kUdpHeader + payload_bytes;
  const std::size_t start = put_network(headers.data(), key, kProtocolUdp, udp_bytes);
  std::uint8_t* udp = headers.data() + start;
  store_be16(udp, key.dst_port);
  store_be16(udp + 2, key.guest_port);
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_bytes));
  store_be16(udp + 6, 0);
  RxFrame frame;
  Checksum sum;
  sum.add_pseudo_header(key.dst, key.guest, kProtocolUdp, udp_bytes);
  if (port_.offloads().rx_csum) {
    frame.vnet.flags = kVnetNeedsChecksum;
    frame.vnet.csum_start = static_cast<std::uint16_t>(start);
    frame.vnet.csum_offset = kUdpChecksumOffset;
    store_be16(udp + 6, sum.partial());
  } else {
    sum.add(std::span<const std::uint8_t>(udp, kUdpHeader));
    sum.add(std::as_const(payload_).span());
    // A checksum of 0 would mean "none" (RFC 768).
    store_be16(udp + 6, sum.value() == 0 ? std::uint16_t{0xffff} : sum.value());
  }
  iov_scatter(reserved_, headers.data(), start + kUdpHeader);
  frame.bytes = start + udp_bytes;
  port_.rx_commit(frame);
}

void GuestLink::send_udp(const IpAddress& source, std::uint16_t source_port, const IpAddress& destination,
                         std::uint16_t destination_port, std::span<const std::uint8_t> payload) {
  assert(payload.size() <= kMaxOwnDatagram);
  std::array<std::uint8_t, kMaxUdpHeaders + kMaxOwnDatagram> buffer;
  const std::size_t start = kEthernetHeader + ip_header_bytes(source);
  const auto frame = std::span(buffer).first(start + kUdpHeader + payload.size());
  const auto udp = frame.subspan(start);
  store_be16(udp.data(), source_port);
  store_be16(&udp[2], destination_port);
  store_be16(&udp[4], static_cast<std::uint16_t>(udp.size()));
  store_be16(&udp[6], 0);
  std::memcpy(udp.data() + kUdpHeader, payload.data(), payload.size());
  Checksum sum;
  sum.add_pseudo_header(source, destination, kProtocolUdp, udp.size());
  sum.add(udp);
  store_be16(&udp[6], sum.value() == 0 ? std::uint16_t{0xffff} : sum.value());
  send_ip(frame, kProtocolUdp, source, destination);
}

void GuestLink::finish_tcp(const TcpSegment& segment, std::size_t payload_bytes) {
  std::array<std::uint8_t, kMaxTcpHeaders> headers;
  payload_.truncate(payload_bytes);
  RxFrame frame;
  const std::size_t header_bytes = build_tcp(headers.data(), segment, payload_bytes, frame.vnet);
  iov_scatter(reserved_, headers.data(), header_bytes);
  frame.bytes = header_bytes + payload_bytes;
  frame.flow = segment.flow;
  frame.seq = segment.seq;
  frame.tcp_flags = segment.flags;
  port_.rx_commit(frame);
}

void GuestLink::send_frame(std::span<std::uint8_t> bytes, std::uint16_t ethertype) {
  put_ethernet(bytes.data(), ethertype);
  const auto room = port_.rx_reserve(bytes.size());
  if (room.empty()) return count_drop(counters_, DropReason::kNoReceiveBuffer, bytes.size());
  if (iov_scatter(room, bytes.data(), bytes.size()) != bytes.size()) return port_.rx_cancel();
  RxFrame frame;
  frame.bytes = bytes.size();
  port_.rx_commit(frame);
}

void GuestLink::send_ip(std::span<std::uint8_t> frame, std::uint8_t protocol, const IpAddress& source,
                        const IpAddress& destination) {
  put_ip_header(frame.data() + kEthernetHeader, protocol, source, destination,
                frame.size() - kEthernetHeader - ip_header_bytes(source));
  send_frame(frame, source.is_v4() ? kEthertypeIpv4 : kEthertypeIpv6);
}

}  // namespace glassbox::net
