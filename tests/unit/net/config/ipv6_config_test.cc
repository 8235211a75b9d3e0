// What a guest configures its IPv6 by: the router's advertisements and stateless DHCPv6.
#include <gtest/gtest.h>

#include <utility>

#include "net/config/dhcpv6.h"
#include "net/config/router_advertisement.h"
#include "tests/unit/net/ipv6_frames.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

TEST(RouterAdvertisement, TellsTheMtuAndWhetherThereIsAWayOut) {
  std::array<std::uint8_t, kRouterAdvertisement> out;
  for (const std::uint16_t mtu : {1280, 1500, 65520}) {
    put_router_advertisement(out, mtu, true);
    EXPECT_EQ(out[24], 5);
    EXPECT_EQ(load_be32(&out[28]), mtu);
    EXPECT_EQ(load_be16(&out[6]), kRouterLifetimeSeconds);
  }
  put_router_advertisement(out, 1500, false);
  EXPECT_EQ(load_be16(&out[6]), 0);
}

// Before its life as the default router ends (RFC 4861, 6.2.1: a third of it), the guest hears of it again.
TEST(NatIpv6Router, AdvertisesAgainInTime) {
  VirtualLoop loop;
  FakePort port;
  auto nat = std::move(*Nat::create({.allow_host_loopback = false, .mtu = 1500}, loop, port));
  constexpr IpAddress kFrom = {0xfe80'0000'0000'0000, 0x5054'00ff'fe12'3456};
  constexpr MacAddress kAllRoutersMac = {0x33, 0x33, 0, 0, 0, 2};
  Bytes solicit(8);
  solicit[0] = 133;
  const Bytes frame =
      build_ipv6({.source = kFrom, .destination = kAllRouters, .mac = kAllRoutersMac}, solicit, 2);
  const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
  nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  loop.turn();
  ASSERT_EQ(port.published.size(), 1U);
  for (int times = 0; times < 3; ++times) {
    port.published.clear();
    const std::uint64_t began_ns = loop.now_ns();
    while (port.published.empty() && loop.deadline_ns() != 0) {
      loop.advance_to(loop.deadline_ns());
      loop.turn();
    }
    ASSERT_EQ(port.published.size(), 1U);
    EXPECT_LT(loop.now_ns() - began_ns, kRouterLifetimeSeconds * std::uint64_t{1'000'000'000});
    const Bytes& bytes = port.published.front().bytes;
    EXPECT_EQ(IpAddress::load(&bytes[kEthernetHeader + 24]), kAllNodes);
    EXPECT_EQ(bytes[kEthernetHeader + kIpv6Header], 134);
  }
}

TEST(Dhcpv6, InformationRequestIsToldTheNameServer) {
  const Bytes request = {11, 1, 2, 3, 0, 1, 0, 4, 9, 8, 7, 6, 0, 6, 0, 2, 0, 23};
  Dhcp6Reply reply;
  ASSERT_EQ(answer_dhcp6(request, reply), DhcpOutcome::kReply);
  const auto* m = reply.message.data();
  EXPECT_EQ(load_be32(m), 0x0701'0203U);
  bool client = false, dns = false, server = false;
  for (std::size_t at = 4; at < reply.bytes; at += 4U + load_be16(m + at + 2)) {
    if (load_be16(m + at) == 1) client = load_be32(m + at + 4) == 0x0908'0706;
    if (load_be16(m + at) == 2) server = load_be16(m + at + 2) == 10;
    if (load_be16(m + at) == 23) dns = IpAddress::load(m + at + 4) == kDnsIp6;
  }
  EXPECT_TRUE(client && dns && server);
  for (std::size_t bytes = 0; bytes < request.size(); ++bytes) {  // whole options are needed, and no more
    if (bytes == 4 || bytes == 12) continue;
    EXPECT_EQ(answer_dhcp6(std::span(request).first(bytes), reply), DhcpOutcome::kMalformed) << bytes;
  }
  Bytes other = request;
  other[0] = 1;  // Solicit: addresses come from the router
  EXPECT_EQ(answer_dhcp6(other, reply), DhcpOutcome::kNoReply);
  other[0] = 7;
  EXPECT_EQ(answer_dhcp6(other, reply), DhcpOutcome::kMalformed);
  for (const std::uint8_t addresses : {3, 4, 25})
    EXPECT_EQ(answer_dhcp6(Bytes{11, 0, 0, 0, 0, addresses, 0, 0}, reply), DhcpOutcome::kMalformed);
  for (const auto& [bytes, fits] : {std::pair{0, false}, {1, true}, {130, true}, {131, false}}) {
    Bytes named = {11, 0, 0, 0, 0, 1, 0, static_cast<std::uint8_t>(bytes)};
    named.resize(named.size() + static_cast<std::size_t>(bytes));
    EXPECT_EQ(answer_dhcp6(named, reply), fits ? DhcpOutcome::kReply : DhcpOutcome::kMalformed) << bytes;
  }
  EXPECT_EQ(answer_dhcp6(Bytes{11, 0, 0, 0, 0, 2, 0, 1, 5}, reply), DhcpOutcome::kNoReply);
}

}  // namespace
}  // namespace glassbox::net
