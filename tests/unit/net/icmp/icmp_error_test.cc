// The packets about which no ICMP error is sent, and the fields of those that are.
#include <gtest/gtest.h>

#include <utility>

#include "net/icmp/icmp_error.h"
#include "tests/unit/net/ipv6_frames.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

std::string as_text(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string echo_request() {
  Bytes icmp = {8, 0, 0, 0, 0, 77, 0, 1};
  Checksum sum;
  sum.add(icmp);
  store_be16(&icmp[2], sum.value());
  return as_text(icmp);
}

// RFC 1122, 3.2.2: a destination that is not a single host. Neither the refusal nor the end of the hops is
// reported.
TEST(NatIcmpErrors, NothingIsSaidAboutGroupsAndBroadcasts) {
  for (const Ipv4 group :
       {ipv4(224, 0, 0, 1), ipv4(239, 1, 2, 3), ipv4(240, 0, 0, 1), ~Ipv4{0}, ipv4(10, 0, 2, 255)}) {
    Bench bench;
    for (const std::uint8_t ttl : {64, 1}) {
      auto udp = build_ipv4(kProtocolUdp, group, as_text(udp_datagram(5000, 9, "all")));
      auto echo = build_ipv4(kProtocolIcmp, group, echo_request());
      auto syn = build_segment({.dst = group, .flags = kTcpSyn});
      for (auto* frame : {&udp, &echo, &syn})
        set_ttl(*frame, ttl);
      bench.inject(udp);
      bench.inject(echo);
      if (ttl == 1) bench.inject(syn);
    }
    ASSERT_TRUE(bench.run_until([] { return true; }));
    EXPECT_TRUE(bench.quiet()) << std::hex << group;
    EXPECT_EQ(bench.nat->counters()[DropReason::kHopsEnded], 3U);
  }
}

// RFC 4443, 2.4 (e.3)
TEST(NatIcmpErrors, NothingIsSaidAboutGroupsOfIpv6) {
  const Bytes echo = {128, 0, 0, 0, 1, 2, 3, 4};
  const IpAddress wide = {0xff0e'0000'0000'0000, 0x101};
  for (const IpAddress& group : {kAllNodes, kAllRouters, wide}) {
    Bench bench;
    for (const std::uint8_t hops : {64, 1})
      bench.inject(build_ipv6({.destination = group, .hops = hops}, echo, 2));
    ASSERT_TRUE(bench.run_until([] { return true; }));
    EXPECT_TRUE(bench.quiet());
    EXPECT_EQ(bench.nat->counters()[RefuseReason::kBadDestination], 1U);
    EXPECT_EQ(bench.nat->counters()[DropReason::kHopsEnded], 1U);
  }
}

// RFC 792 and RFC 1812, 5.2.7.1; RFC 4443, 3.1 and 3.3
TEST(IcmpErrors, KindsHaveTheCodesOfEachFamily) {
  struct Code {
    IcmpErrorKind kind;
    std::uint8_t type4, code4, type6, code6;
  };
  for (const Code& c :
       {Code{IcmpErrorKind::kNetworkUnreachable, 3, 0, 1, 0},
        Code{IcmpErrorKind::kHostUnreachable, 3, 1, 1, 3}, Code{IcmpErrorKind::kPortUnreachable, 3, 3, 1, 4},
        Code{IcmpErrorKind::kProhibited, 3, 13, 1, 1}, Code{IcmpErrorKind::kTimeExceeded, 11, 0, 3, 0}}) {
    const IcmpError v4 = make_icmp_error(c.kind, false);
    const IcmpError v6 = make_icmp_error(c.kind, true);
    EXPECT_EQ(std::pair(v4.type, v4.code), std::pair(c.type4, c.code4));
    EXPECT_EQ(std::pair(v6.type, v6.code), std::pair(c.type6, c.code6));
    EXPECT_EQ(v4.from, IpAddress::from_v4(kGatewayIp));
    EXPECT_EQ(v6.from, kGatewayIp6);
  }
}

// RFC 1191, 4: the MTU of the next hop.
TEST(IcmpErrors, TooBigTellsTheMtu) {
  FakePort port;
  NatCounters counters;
  GuestLink link(port, counters, 1500);
  const FlowKey key{IpAddress::from_v4(kGuestIp), IpAddress::from_v4(ipv4(203, 0, 113, 5)), 5000, 9};
  const Bytes datagram = udp_datagram(5000, 9, "large");
  send_icmp_error(link, {3, 4, 1280, IpAddress::from_v4(ipv4(192, 0, 2, 1))},
                  {kProtocolUdp, key, datagram, datagram.size()});
  port.rx_publish();
  ASSERT_EQ(port.published.size(), 1U);
  const Seen seen = take_apart(port.published.front());
  const auto* icmp = reinterpret_cast<const std::uint8_t*>(seen.payload.data());
  EXPECT_EQ(seen.source, ipv4(192, 0, 2, 1));
  EXPECT_EQ(load_be16(icmp), 0x0304);
  EXPECT_EQ(load_be32(icmp + 4), 1280U);
}

// A guest that leaves the checksum to its device puts the pseudo-header's sum in its place (virtio 1.2,
// 5.1.6.2): the payload is taken all the same.
TEST(NatOffload, PartialChecksumsOfTheGuestAreTaken) {
  const VnetHeader partial{.flags = 1, .csum_start = 34, .csum_offset = 6};
  Bench bench({.allow_host_loopback = false, .mtu = 1500});
  Bytes udp = udp_datagram(5000, 9, "payload");
  Checksum sum;
  sum.add_pseudo_header(kGuestIp, kGatewayIp, kProtocolUdp, udp.size());
  store_be16(&udp[6], sum.partial());
  const auto frame = build_ipv4(kProtocolUdp, kGatewayIp, as_text(udp));
  bench.inject(frame, partial);
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 1U);
  bench.inject(frame);  // without the flag it is a wrong one
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadChecksum], 1U);
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 1U);

  Bytes tcp = tcp_segment(80, 1, 0, kTcpSyn);
  Checksum sum6;
  sum6.add_pseudo_header(kGuestIp6, kGatewayIp6, kProtocolTcp, tcp.size());
  store_be16(&tcp[16], sum6.partial());
  const auto frame6 = build_ipv6({kProtocolTcp, kGuestIp6, kGatewayIp6}, tcp, ~std::size_t{2});
  bench.inject(frame6, {.flags = 1, .csum_start = 54, .csum_offset = 16});
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 2U);
  bench.inject(frame6);
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadChecksum], 2U);
}

}  // namespace
}  // namespace glassbox::net
