#include "guest_frames.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "net/link/checksum.h"
#include "net/nat.h"

namespace glassbox::net {
namespace {

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Seen take_apart(const PublishedFrame& frame) {
  Seen seen;
  seen.facts = frame.facts;
  const auto& b = frame.bytes;
  EXPECT_GE(b.size(), kEthernetHeader);
  EXPECT_EQ(b.size(), frame.facts.bytes);
  EXPECT_TRUE(std::equal(kGuestMac.begin(), kGuestMac.end(), b.begin()));
  seen.ethertype = load_be16(&b[12]);
  if (seen.ethertype != kEthertypeIpv4) {
    seen.payload.assign(b.begin() + kEthernetHeader, b.end());
    return seen;
  }
  const std::uint8_t* ip = &b[kEthernetHeader];
  Checksum header;
  header.add(std::span(ip, kIpv4Header));
  EXPECT_EQ(header.value(), 0) << "IP checksum";
  EXPECT_EQ(load_be16(ip + 2), b.size() - kEthernetHeader);
  seen.protocol = ip[9];
  seen.source = load_be32(ip + 12);
  seen.destination = load_be32(ip + 16);
  const std::uint8_t* l4 = ip + kIpv4Header;
  const std::size_t l4_bytes = b.size() - kEthernetHeader - kIpv4Header;
  if (seen.protocol == kProtocolUdp && (frame.facts.vnet.flags & 1)) {
    EXPECT_EQ(frame.facts.vnet.csum_start, 34);
    EXPECT_EQ(frame.facts.vnet.csum_offset, 6);
  }
  if (seen.protocol != kProtocolTcp) {
    seen.payload.assign(l4, l4 + l4_bytes);
    return seen;
  }
  seen.source_port = load_be16(l4);
  seen.destination_port = load_be16(l4 + 2);
  seen.seq = load_be32(l4 + 4);
  seen.ack = load_be32(l4 + 8);
  const std::size_t offset = static_cast<std::size_t>(l4[12] >> 4) * 4;
  seen.flags = l4[13];
  seen.window = load_be16(l4 + 14);
  seen.options.assign(l4 + kTcpHeader, l4 + offset);
  seen.payload.assign(l4 + offset, l4 + l4_bytes);
  Checksum tcp;
  tcp.add_pseudo_header(seen.source, seen.destination, kProtocolTcp, l4_bytes);
  if (frame.facts.vnet.flags & 1) {
    EXPECT_EQ(load_be16(l4 + 16), tcp.partial()) << "pseudo-header checksum";
    EXPECT_EQ(frame.facts.vnet.csum_start, 34);
    EXPECT_EQ(frame.facts.vnet.csum_offset, 16);
    if (frame.facts.vnet.gso_type != 0) {
      EXPECT_EQ(frame.facts.vnet.gso_type, 1) << "TCP over IPv4 (virtio 1.2, 5.1.6)";
      EXPECT_EQ(frame.facts.vnet.hdr_len, kEthernetHeader + kIpv4Header + offset);
      EXPECT_GT(frame.facts.vnet.gso_size, 0);
      EXPECT_GT(seen.payload.size(), frame.facts.vnet.gso_size);
    }
  } else {
    tcp.add(std::span(l4, l4_bytes));
    EXPECT_EQ(tcp.value(), 0) << "TCP checksum";
  }
  EXPECT_EQ(frame.facts.seq, seen.seq);
  EXPECT_EQ(frame.facts.tcp_flags, seen.flags);
  return seen;
}

std::vector<std::uint8_t> build_ipv4(std::uint8_t protocol, Ipv4 destination, const std::string& payload,
                                     std::uint16_t fragment, Ipv4 source) {
  std::vector<std::uint8_t> frame(kEthernetHeader + kIpv4Header);
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), frame.begin());
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeIpv4);
  std::uint8_t* ip = &frame[kEthernetHeader];
  ip[0] = 0x45;
  store_be16(ip + 2, static_cast<std::uint16_t>(kIpv4Header + payload.size()));
  store_be16(ip + 6, fragment);
  ip[8] = 64;
  ip[9] = protocol;
  store_be32(ip + 12, source);
  store_be32(ip + 16, destination);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(ip, kIpv4Header));
  store_be16(ip + 10, sum.value());
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

void set_ttl(std::vector<std::uint8_t>& frame, std::uint8_t ttl) {
  std::uint8_t* ip = &frame[kEthernetHeader];
  ip[8] = ttl;
  store_be16(ip + 10, 0);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(ip, kIpv4Header));
  store_be16(ip + 10, sum.value());
}

std::vector<std::uint8_t> build_segment(const SegmentSpec& s) {
  std::string tcp(kTcpHeader + s.options.size(), '\0');
  auto* t = reinterpret_cast<std::uint8_t*>(tcp.data());
  store_be16(t, s.guest_port);
  store_be16(t + 2, s.dst_port);
  store_be32(t + 4, s.seq);
  store_be32(t + 8, s.ack);
  t[12] = static_cast<std::uint8_t>((tcp.size() / 4) << 4);
  t[13] = s.flags;
  store_be16(t + 14, s.window);
  store_be16(t + 18, s.urgent);
  std::copy(s.options.begin(), s.options.end(), tcp.begin() + kTcpHeader);
  tcp += s.payload;
  Checksum sum;
  sum.add_pseudo_header(kGuestIp, s.dst, kProtocolTcp, tcp.size());
  sum.add(bytes_of(tcp));
  store_be16(reinterpret_cast<std::uint8_t*>(tcp.data()) + 16, sum.value());
  return build_ipv4(kProtocolTcp, s.dst, tcp, s.fragment);
}

std::vector<std::uint8_t> build_arp(Ipv4 target) {
  std::vector<std::uint8_t> frame(kEthernetHeader + kArpPacket);
  std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeArp);
  const std::vector<std::uint8_t> head = {0, 1, 8, 0, 6, 4, 0, 1};
  std::copy(head.begin(), head.end(), frame.begin() + kEthernetHeader);
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + kEthernetHeader + 8);
  store_be32(&frame[kEthernetHeader + 14], kGuestIp);
  store_be32(&frame[kEthernetHeader + 24], target);
  return frame;
}

}  // namespace glassbox::net
