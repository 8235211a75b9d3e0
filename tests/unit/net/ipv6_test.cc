// The guest's IPv6: discovery, configuration, echo, TCP and UDP, and what is dropped.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "ipv6_frames.h"
#include "net/config/dhcpv6.h"
#include "net/config/router_advertisement.h"
#include "net/host/socket_address.h"
#include "net/link/checksum.h"
#include "test_guest.h"

namespace glassbox::net {
namespace {

constexpr IpAddress kGuestLinkLocal = {0xfe80'0000'0000'0000, 0x5054'00ff'fe12'3456};
constexpr MacAddress kAllRoutersMac = {0x33, 0x33, 0, 0, 0, 2};
constexpr MacAddress kSolicitMac = {0x33, 0x33, 0xff, 0, 0, 2};
constexpr MacAddress kDhcpMac = {0x33, 0x33, 0, 1, 0, 2};

Bytes solicitation(const IpAddress& target) {
  Bytes message(32);
  message[0] = 135;
  target.store(&message[8]);
  message[24] = 1;
  message[25] = 1;
  std::copy(kGuestMac.begin(), kGuestMac.end(), message.begin() + 26);
  return message;
}

// A packet for the guest, taken apart.
struct Packet {
  std::uint8_t protocol = 0;
  std::uint8_t hops = 0;
  IpAddress source, destination;
  Bytes transport;
};

class NatIpv6 : public testing::Test {
 protected:
  // The next frame; its checksum, at the offset given, is verified.
  Packet next(std::size_t checksum, Bench* from = nullptr) {
    Bench& b = from == nullptr ? bench : *from;
    b.end_burst();
    Packet packet;
    if (!b.run_until([&] { return !b.port.published.empty(); })) return packet;
    const PublishedFrame frame = b.port.published.front();
    b.port.published.pop_front();
    const std::uint8_t* ip = &frame.bytes[kEthernetHeader];
    EXPECT_EQ(load_be16(&frame.bytes[12]), kEthertypeIpv6);
    EXPECT_EQ(std::size_t{load_be16(ip + 4)} + kIpv6Header + kEthernetHeader, frame.bytes.size());
    packet = {ip[6], ip[7], IpAddress::load(ip + 8), IpAddress::load(ip + 24), {}};
    packet.transport.assign(ip + kIpv6Header, frame.bytes.data() + frame.bytes.size());
    Checksum sum;
    sum.add_pseudo_header(packet.source, packet.destination, packet.protocol, packet.transport.size());
    if (frame.facts.vnet.flags & 1) {
      EXPECT_EQ(frame.facts.vnet.csum_start, kEthernetHeader + kIpv6Header);
      EXPECT_EQ(load_be16(&packet.transport[checksum]), sum.partial());
      if (frame.facts.vnet.gso_type != 0) {
        EXPECT_EQ(frame.facts.vnet.gso_type, 4);  // TCP over IPv6 (virtio 1.2, 5.1.6)
        EXPECT_EQ(frame.facts.vnet.hdr_len, kEthernetHeader + kIpv6Header + kTcpHeader);
        ++segmented;
      }
    } else {
      sum.add(packet.transport);
      EXPECT_EQ(sum.value(), 0);
    }
    return packet;
  }
  void expect_dropped(const Bytes& frame, DropReason reason) {
    const auto before = bench.nat->counters()[reason];
    bench.inject(frame);
    EXPECT_EQ(bench.nat->counters()[reason], before + 1) << name_of(reason);
    EXPECT_TRUE(bench.quiet());
  }
  int segmented = 0;  // frames that the guest's side must cut
  Bench bench;
};

TEST_F(NatIpv6, NeighbourSolicitationForOurAddressesOnly) {
  for (const IpAddress& target : {kGatewayIp6, kDnsIp6, kGatewayLinkLocal}) {
    bench.inject(build_ipv6({.destination = target}, solicitation(target), 2));
    const Packet answer = next(2);
    ASSERT_EQ(answer.transport.size(), 32U);
    EXPECT_EQ(answer.hops, 255);
    EXPECT_EQ(answer.source, target);
    EXPECT_EQ(answer.destination, kGuestIp6);
    EXPECT_EQ(answer.transport[0], 136);
    EXPECT_EQ(answer.transport[4], 0xe0);  // router, solicited, override
    EXPECT_EQ(IpAddress::load(&answer.transport[8]), target);
    EXPECT_TRUE(std::equal(kGatewayMac.begin(), kGatewayMac.end(), answer.transport.begin() + 26));
  }
  expect_dropped(build_ipv6({}, solicitation({kNetwork6, 9}), 2), DropReason::kNeighbourNotOurs);
  expect_dropped(build_ipv6({}, solicitation(kGuestIp6), 2), DropReason::kNeighbourNotOurs);
  // The gateway's IPv4 address is none of IPv6, mapped or not.
  expect_dropped(build_ipv6({}, solicitation(IpAddress::from_v4(kGatewayIp)), 2),
                 DropReason::kNeighbourNotOurs);
}

TEST_F(NatIpv6, DuplicateOfOurAddressIsDefended) {
  const IpAddress group = {kAllNodes.hi, 0x1'ff00'0002};
  Bytes message = solicitation(kGatewayIp6);
  message.resize(24);
  bench.inject(build_ipv6({.source = {}, .destination = group, .mac = kSolicitMac}, message, 2));
  const Packet answer = next(2);
  EXPECT_EQ(answer.destination, kAllNodes);
  EXPECT_EQ(answer.transport.at(4), 0xa0);
  // Without a source there is no source address option, and the group is the target's.
  expect_dropped(build_ipv6({.source = {}, .destination = group}, solicitation(kGatewayIp6), 2),
                 DropReason::kBadNeighbour);
  expect_dropped(build_ipv6({.source = {}}, message, 2), DropReason::kBadNeighbour);
}

TEST_F(NatIpv6, DiscoveryIsCheckedAsRfc4861Says) {
  expect_dropped(build_ipv6({.hops = 254}, solicitation(kGatewayIp6), 2), DropReason::kBadNeighbour);
  Bytes bad = solicitation(kGatewayIp6);
  bad[1] = 1;
  expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);  // code
  bad = solicitation(kGatewayIp6);
  bad[25] = 0;
  expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);  // option of no length
  bad[25] = 2;
  expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);  // and one beyond the end
  for (std::size_t bytes = 8; bytes < 24; ++bytes) {
    bad = solicitation(kGatewayIp6);
    bad.resize(bytes);
    expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);
  }
  bad = solicitation(kAllNodes);
  expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);
  for (const std::uint8_t router_only : {134, 137}) {
    bad = solicitation(kGatewayIp6);
    bad[0] = router_only;
    expect_dropped(build_ipv6({}, bad, 2), DropReason::kBadNeighbour);
  }
}

TEST_F(NatIpv6, RouterAdvertisementTellsOfTheNetwork) {
  Bytes solicit(8);
  solicit[0] = 133;
  bench.inject(
      build_ipv6({.source = kGuestLinkLocal, .destination = kAllRouters, .mac = kAllRoutersMac}, solicit, 2));
  const Packet answer = next(2);
  const Bytes& ra = answer.transport;
  ASSERT_EQ(ra.size(), kRouterAdvertisement);
  EXPECT_EQ(answer.source, kGatewayLinkLocal);
  EXPECT_EQ(answer.destination, kGuestLinkLocal);
  EXPECT_EQ(answer.hops, 255);
  EXPECT_EQ(ra[0], 134);
  EXPECT_EQ(ra[4], 64);  // hop limit
  EXPECT_EQ(ra[5], 0x40);
  EXPECT_EQ(load_be16(&ra[6]), host_reaches_ipv6() ? 1800 : 0);
  constexpr std::uint32_t kForever = ~std::uint32_t{0};
  bool mtu = false, prefix = false, servers = false, source = false;
  for (std::size_t at = 16; at < ra.size(); at += std::size_t{8} * ra[at + 1]) {
    ASSERT_NE(ra[at + 1], 0);
    if (ra[at] == 5) mtu = load_be32(&ra[at + 4]) == 1500;
    if (ra[at] == 1) source = std::equal(kGatewayMac.begin(), kGatewayMac.end(), &ra[at + 2]);
    if (ra[at] == 3) {
      prefix = ra[at + 2] == 64 && ra[at + 3] == 0xc0 && load_be64(&ra[at + 16]) == kNetwork6;
      EXPECT_EQ(load_be32(&ra[at + 4]), kForever);
      EXPECT_EQ(load_be32(&ra[at + 8]), kForever);
    }
    if (ra[at] == 25) {
      servers = IpAddress::load(&ra[at + 8]) == kDnsIp6;
      EXPECT_EQ(load_be32(&ra[at + 4]), kForever);
    }
  }
  EXPECT_TRUE(mtu && prefix && servers && source);
}

TEST_F(NatIpv6, DhcpServerAnswersOverTheLink) {
  const std::string request("\x0b\1\2\3", 4);
  bench.inject(build_ipv6({kProtocolUdp, kGuestLinkLocal, kDhcp6Servers, 1, kDhcpMac},
                          udp_datagram(kDhcp6ClientPort, kDhcp6ServerPort, request), 6));
  const Packet answer = next(6);
  EXPECT_EQ(answer.destination, kGuestLinkLocal);
  EXPECT_EQ(load_be16(&answer.transport.at(2)), kDhcp6ClientPort);
  EXPECT_EQ(answer.transport.at(kUdpHeader), 7);
}

TEST_F(NatIpv6, EchoOfOurAddresses) {
  for (const IpAddress& target : {kGatewayIp6, kDnsIp6, kGatewayLinkLocal}) {
    Bytes echo = {128, 0, 0, 0, 1, 2, 3, 4, 'h', 'i'};
    bench.inject(build_ipv6({.destination = target, .hops = 64}, echo, 2));
    const Packet answer = next(2);
    EXPECT_EQ(answer.source, target);
    ASSERT_EQ(answer.transport.size(), echo.size());
    EXPECT_EQ(answer.transport[0], 129);
    EXPECT_TRUE(std::equal(echo.begin() + 4, echo.end(), answer.transport.begin() + 4));
  }
  expect_dropped(build_ipv6({.source = {}}, {128, 0, 0, 0, 1, 2, 3, 4}, 2), DropReason::kBadSource);
  expect_dropped(build_ipv6({}, {128, 0, 0, 0, 1, 2, 3, 4}, 99), DropReason::kBadChecksum);
  expect_dropped(build_ipv6({}, {128, 0, 0}, 99), DropReason::kBadIcmp);
}

TEST_F(NatIpv6, WhatIsDroppedHasItsReason) {
  const Bytes syn = tcp_segment(80, 1, 0, kTcpSyn);
  for (const std::uint8_t header : {0, 43, 51, 60, 135, 139, 140}) {
    expect_dropped(build_ipv6({.protocol = header}, syn, 99), DropReason::kExtensionHeader);
  }
  expect_dropped(build_ipv6({.protocol = 44}, syn, 99), DropReason::kFragment);
  expect_dropped(build_ipv6({.protocol = 59}, syn, 99), DropReason::kUnknownProtocol);
  const IpAddress mapped = IpAddress::from_v4(ipv4(127, 0, 0, 1));
  expect_dropped(build_ipv6({kProtocolTcp, kGuestIp6, mapped}, syn, 16), DropReason::kMappedAddress);
  expect_dropped(build_ipv6({kProtocolTcp, mapped, kGatewayIp6}, syn, 16), DropReason::kMappedAddress);
  const IpAddress stranger = {0x2001'0db8'0000'0000, 1};
  for (const IpAddress& source : {stranger, kGatewayIp6, kDnsIp6, kLoopback6, kUnspecified6, kAllNodes}) {
    expect_dropped(build_ipv6({kProtocolTcp, source, kGatewayIp6}, syn, 16), DropReason::kBadSource);
  }
  expect_dropped(build_ipv6({kProtocolTcp, kGuestIp6, kAllNodes}, syn, 16), DropReason::kNotForUs);
  const MacAddress reports = {0x33, 0x33, 0, 0, 0, 0x16};
  expect_dropped(build_ipv6({.mac = reports}, syn, 16), DropReason::kNotForUs);
  Bytes udp = udp_datagram(5000, 9, "x");  // a checksum of 0 means none, and IPv6 requires one
  expect_dropped(build_ipv6({kProtocolUdp, kGuestIp6, kGatewayIp6}, udp, 99), DropReason::kBadChecksum);
}

TEST_F(NatIpv6, EveryTruncationIsSurvived) {
  const std::vector<Bytes> frames = {
      build_ipv6({}, solicitation(kGatewayIp6), 2),
      build_ipv6({kProtocolTcp, kGuestIp6, kGatewayIp6}, tcp_segment(80, 1, 0, kTcpAck, "x"), 16),
      build_ipv6({kProtocolUdp, kGuestIp6, kDnsIp6}, udp_datagram(5000, 9, "x"), 6)};
  for (const Bytes& frame : frames) {
    for (std::size_t bytes = 0; bytes < frame.size(); ++bytes) {
      expect_dropped({frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes)},
                     DropReason::kShortFrame);
    }
  }
}

TEST(NatIpv6Mtu, BelowTheSmallestThereIsNone) {
  Bench bench({.allow_host_loopback = true, .mtu = 1279});
  bench.inject(build_ipv6({}, solicitation(kGatewayIp6), 2));
  EXPECT_EQ(bench.nat->counters()[DropReason::kUnknownEthertype], 1U);
}

// A socket bound to ::1.
class Loopback6 {
 public:
  explicit Loopback6(int type) : fd(::socket(AF_INET6, type | SOCK_CLOEXEC, 0)) {
    SocketAddress address(kLoopback6, 0);
    ok = fd && ::bind(fd.get(), address.get(), address.length()) == 0 &&
         (type != SOCK_STREAM || ::listen(fd.get(), 4) == 0) &&
         ::getsockname(fd.get(), address.get(), address.length_out()) == 0;
    port = address.port();
  }
  UniqueFd fd;
  std::uint16_t port = 0;
  bool ok = false;
};

TEST_F(NatIpv6, TcpReachesTheHostsLoopbackAndBack) {
  Loopback6 server(SOCK_STREAM);
  if (!server.ok) GTEST_SKIP() << "this host has no IPv6 loopback";
  for (const bool offload : {true, false}) {
    Bench b;
    b.port.offered = {offload, offload, offload};
    const auto send = [&](Seq seq, Seq ack, std::uint8_t flags, const std::string& payload = {}) {
      b.inject(build_ipv6({kProtocolTcp, kGuestIp6, kGatewayIp6},
                          tcp_segment(server.port, seq, ack, flags, payload), 16));
    };
    send(100, 0, kTcpSyn);
    const Packet syn_ack = next(16, &b);
    ASSERT_EQ(syn_ack.transport.at(13), kTcpSyn | kTcpAck);
    EXPECT_EQ(syn_ack.source, kGatewayIp6);
    EXPECT_EQ(load_be16(&syn_ack.transport[22]), 1500 - kIpv6Header - kTcpHeader);  // the MSS option
    const Seq seq = load_be32(&syn_ack.transport[4]) + 1;
    send(101, seq, kTcpAck | kTcpPsh, "question");
    const UniqueFd accepted(::accept4(server.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_EQ(read_some(accepted.get(), 8), "question");
    write_all(accepted.get(), "answer");
    std::string got;
    while (got.empty()) {
      const Packet packet = next(16, &b);
      ASSERT_EQ(packet.protocol, kProtocolTcp);
      got.assign(packet.transport.begin() + kTcpHeader, packet.transport.end());
    }
    EXPECT_EQ(got, "answer");
    if (!offload) continue;
    // More than a segment at once goes as one frame, for the guest's side to cut.
    write_all(accepted.get(), std::string(10'000, 'x'));
    const int before = segmented;
    for (std::size_t bytes = 0; bytes < 10'000;) {
      const Packet packet = next(16, &b);
      ASSERT_EQ(packet.protocol, kProtocolTcp);
      bytes += packet.transport.size() - kTcpHeader;
    }
    EXPECT_GT(segmented, before);
  }
}

TEST_F(NatIpv6, UdpReachesTheHostsLoopbackAndBack) {
  Loopback6 server(SOCK_DGRAM);
  if (!server.ok) GTEST_SKIP() << "this host has no IPv6 loopback";
  bench.inject(
      build_ipv6({kProtocolUdp, kGuestIp6, kGatewayIp6}, udp_datagram(5000, server.port, "question"), 6));
  SocketAddress peer;
  std::array<char, 16> text{};
  const ssize_t n = ::recvfrom(server.fd.get(), text.data(), text.size(), 0, peer.get(), peer.length_out());
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))), "question");
  ::sendto(server.fd.get(), "answer", 6, 0, peer.get(), peer.length());
  const Packet answer = next(6);
  EXPECT_EQ(answer.source, kGatewayIp6);
  EXPECT_EQ(std::string(answer.transport.begin() + kUdpHeader, answer.transport.end()), "answer");
}

TEST(NatIpv6Policy, ClosedMeansClosed) {
  const std::vector<std::pair<IpAddress, RefuseReason>> cases = {
      {kGatewayIp6, RefuseReason::kHostLoopbackClosed},
      {kLoopback6, RefuseReason::kHostLoopbackClosed},
      {kUnspecified6, RefuseReason::kHostLoopbackClosed},
      {{0, 0x7f00'0001}, RefuseReason::kBadDestination},  // ::127.0.0.1
      {{kNetwork6, 0x77}, RefuseReason::kUnreachable},
      {{0xfe80'0000'0000'0000, 7}, RefuseReason::kDenied},
      {{0xfd00'0ec2'0000'0000, 0x254}, RefuseReason::kDenied},
      {{0xfd20'00ce'0000'0000, 0x254}, RefuseReason::kDenied}};
  Bench bench({.allow_host_loopback = false, .mtu = 1500});
  const Bytes echo = {128, 0, 0, 0, 1, 2, 3, 4};
  for (const auto& [destination, reason] : cases) {
    const auto before = bench.nat->counters()[reason];
    bench.inject(build_ipv6({kProtocolTcp, kGuestIp6, destination}, tcp_segment(80, 1, 0, kTcpSyn), 16));
    bench.inject(build_ipv6({kProtocolUdp, kGuestIp6, destination}, udp_datagram(5000, 80, "x"), 6));
    std::uint64_t refusals = 2;
    if (destination != kGatewayIp6) {  // which answers for itself
      bench.inject(build_ipv6({.destination = destination}, echo, 2));
      ++refusals;
    }
    EXPECT_EQ(bench.nat->counters()[reason], before + refusals) << name_of(reason);
  }
  EXPECT_EQ(bench.nat->counters().flows_opened, 0U);
  EXPECT_EQ(bench.nat->counters().udp_flows_opened, 0U);
  EXPECT_EQ(bench.nat->counters().echo_flows_opened, 0U);
}

}  // namespace
}  // namespace glassbox::net
