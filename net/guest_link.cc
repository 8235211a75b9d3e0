#include "net/guest_link.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "net/checksum.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kTcpHeaders = kEthernetHeader + kIpv4Header + kTcpHeader;
constexpr std::size_t kUdpHeaders = kEthernetHeader + kIpv4Header + kUdpHeader;
constexpr std::size_t kMaxOptions = 8;
constexpr std::uint8_t kTtl = 64;
constexpr std::uint16_t kDontFragment = 0x4000;

// virtio 1.2, 5.1.6
constexpr std::uint8_t kVnetNeedsChecksum = 1;
constexpr std::uint8_t kVnetGsoTcp4 = 1;
constexpr std::uint16_t kTcpChecksumOffset = 16;
constexpr std::uint16_t kUdpChecksumOffset = 6;

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

std::size_t GuestLink::max_tcp_payload(std::uint16_t mss) const {
  if (!port_.offloads().rx_tso4) return mss;
  const std::size_t most = kMaxIpPacket - kIpv4Header - kTcpHeader;
  return most - most % mss;
}

void GuestLink::put_ethernet(std::uint8_t* out, std::uint16_t ethertype) const {
  std::memcpy(out, guest_mac_.data(), guest_mac_.size());
  std::memcpy(out + 6, kGatewayMac.data(), kGatewayMac.size());
  store_be16(out + 12, ethertype);
}

// All headers except a checksum over payload that is not offloaded. Returns their length.
std::size_t GuestLink::build_tcp(std::uint8_t* out, const TcpSegment& s, std::size_t payload_bytes,
                                 VnetHeader& vnet) const {
  assert(s.options.size() <= kMaxOptions);
  const std::size_t tcp_bytes = kTcpHeader + s.options.size();
  const Ipv4 source = s.key->dst.v4();
  const Ipv4 destination = s.key->guest.v4();
  put_ethernet(out, kEthertypeIpv4);
  put_ipv4_header(out + kEthernetHeader, kProtocolTcp, source, destination, tcp_bytes + payload_bytes);
  std::uint8_t* tcp = out + kEthernetHeader + kIpv4Header;
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
  sum.add_pseudo_header(source, destination, kProtocolTcp, tcp_bytes + payload_bytes);
  if (port_.offloads().rx_csum) {
    vnet.flags = kVnetNeedsChecksum;
    vnet.csum_start = kEthernetHeader + kIpv4Header;
    vnet.csum_offset = kTcpChecksumOffset;
    store_be16(tcp + 16, sum.partial());
    if (payload_bytes > s.mss && s.mss != 0) {
      vnet.gso_type = kVnetGsoTcp4;
      vnet.gso_size = s.mss;
      vnet.hdr_len = static_cast<std::uint16_t>(kEthernetHeader + kIpv4Header + tcp_bytes);
    }
  } else {
    sum.add(std::span<const std::uint8_t>(tcp, tcp_bytes));
    if (payload_bytes != 0) sum.add(payload_.span());
    store_be16(tcp + 16, sum.value());
  }
  return kEthernetHeader + kIpv4Header + tcp_bytes;
}

bool GuestLink::send_tcp(const TcpSegment& segment) {
  std::array<std::uint8_t, kTcpHeaders + kMaxOptions> headers;
  const auto room = port_.rx_reserve(kTcpHeaders + segment.options.size());
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

bool GuestLink::begin_tcp(std::size_t max_bytes) {
  return begin(kTcpHeaders, max_bytes);
}

bool GuestLink::begin_udp(std::size_t max_bytes) {
  return begin(kUdpHeaders, max_bytes);
}

void GuestLink::finish_udp(const FlowKey& key, std::size_t payload_bytes) {
  std::array<std::uint8_t, kUdpHeaders> headers;
  payload_.truncate(payload_bytes);
  const Ipv4 source = key.dst.v4();
  const Ipv4 destination = key.guest.v4();
  const std::size_t udp_bytes = kUdpHeader + payload_bytes;
  put_ethernet(headers.data(), kEthertypeIpv4);
  put_ipv4_header(headers.data() + kEthernetHeader, kProtocolUdp, source, destination, udp_bytes);
  std::uint8_t* udp = headers.data() + kEthernetHeader + kIpv4Header;
  store_be16(udp, key.dst_port);
  store_be16(udp + 2, key.guest_port);
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_bytes));
  store_be16(udp + 6, 0);
  RxFrame frame;
  Checksum sum;
  sum.add_pseudo_header(source, destination, kProtocolUdp, udp_bytes);
  if (port_.offloads().rx_csum) {
    frame.vnet.flags = kVnetNeedsChecksum;
    frame.vnet.csum_start = kEthernetHeader + kIpv4Header;
    frame.vnet.csum_offset = kUdpChecksumOffset;
    store_be16(udp + 6, sum.partial());
  } else {
    sum.add(std::span<const std::uint8_t>(udp, kUdpHeader));
    sum.add(std::as_const(payload_).span());
    // 0 would mean that there is no checksum (RFC 768).
    store_be16(udp + 6, sum.value() == 0 ? std::uint16_t{0xffff} : sum.value());
  }
  iov_scatter(reserved_, headers.data(), headers.size());
  frame.bytes = headers.size() + payload_bytes;
  port_.rx_commit(frame);
}

void GuestLink::send_udp(Ipv4 source, std::uint16_t source_port, Ipv4 destination,
                         std::uint16_t destination_port, std::span<const std::uint8_t> payload) {
  assert(payload.size() <= kMaxOwnDatagram);
  std::array<std::uint8_t, kUdpHeaders + kMaxOwnDatagram> buffer;
  const auto frame = std::span(buffer).first(kUdpHeaders + payload.size());
  const auto udp = frame.subspan(kEthernetHeader + kIpv4Header);
  store_be16(udp.data(), source_port);
  store_be16(&udp[2], destination_port);
  store_be16(&udp[4], static_cast<std::uint16_t>(udp.size()));
  store_be16(&udp[6], 0);
  std::memcpy(udp.data() + kUdpHeader, payload.data(), payload.size());
  Checksum sum;
  sum.add_pseudo_header(source, destination, kProtocolUdp, udp.size());
  sum.add(udp);
  store_be16(&udp[6], sum.value() == 0 ? std::uint16_t{0xffff} : sum.value());
  send_ipv4(frame, kProtocolUdp, source, destination);
}

void GuestLink::finish_tcp(const TcpSegment& segment, std::size_t payload_bytes) {
  std::array<std::uint8_t, kTcpHeaders> headers;
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
  if (room.empty()) {
    ++counters_.dropped[static_cast<std::size_t>(DropReason::kNoReceiveBuffer)];
    return;
  }
  if (iov_scatter(room, bytes.data(), bytes.size()) != bytes.size()) return port_.rx_cancel();
  RxFrame frame;
  frame.bytes = bytes.size();
  port_.rx_commit(frame);
}

void GuestLink::send_ipv4(std::span<std::uint8_t> frame, std::uint8_t protocol, Ipv4 source,
                          Ipv4 destination) {
  put_ipv4_header(frame.data() + kEthernetHeader, protocol, source, destination,
                  frame.size() - kEthernetHeader - kIpv4Header);
  send_frame(frame, kEthertypeIpv4);
}

}  // namespace glassbox::net
