// The NAT's options: how they are written, and that they take effect.
#include "net/nat_config.h"

#include <gtest/gtest.h>

#include "net/address_text.h"
#include "test_guest.h"

namespace glassbox::net {
namespace {

TEST(NatConfigText, Networks) {
  EXPECT_EQ(*parse_cidr("10.0.0.0/8"), Cidr::v4(ipv4(10, 0, 0, 0), 8));
  EXPECT_EQ(*parse_cidr("0.0.0.0/0"), Cidr::v4(0, 0));
  EXPECT_EQ(*parse_cidr("192.0.2.7"), Cidr::v4(ipv4(192, 0, 2, 7), 32));
  EXPECT_EQ(*parse_cidr("::/0"), (Cidr{{}, 0}));
  EXPECT_EQ(*parse_cidr("fe80::/10"), (Cidr{{0xfe80'0000'0000'0000, 0}, 10}));
  EXPECT_EQ(*parse_cidr("2001:db8::7"), (Cidr{{0x2001'0db8'0000'0000, 7}, 128}));
  EXPECT_EQ(*parse_cidr("2001:db8::/64"), (Cidr{{0x2001'0db8'0000'0000, 0}, 64}));
  EXPECT_EQ(*parse_cidr("2001:db8:0:0:8000::/65"), (Cidr{{0x2001'0db8'0000'0000, 1ULL << 63}, 65}));
  for (const char* bad :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/8", "10.0.0/8", "10.0.0.0/8x", "host",
        "::/129", "::1/64", "fe80::1%eth0", "2001:db8::/-1", "2001:db8:1::/33", "::ffff:10.0.0.0/104"}) {
    EXPECT_FALSE(parse_cidr(bad)) << bad;
  }
}

TEST(NatConfigText, NetworksHoldAddressesOfTheirFamily) {
  const IpAddress v4 = IpAddress::from_v4(ipv4(10, 1, 2, 3));
  const IpAddress v6 = {0x2001'0db8'0000'0001, 0x8000'0000'0000'0001};
  EXPECT_TRUE(parse_cidr("0.0.0.0/0")->contains(v4));
  EXPECT_FALSE(parse_cidr("0.0.0.0/0")->contains(v6));
  EXPECT_TRUE(parse_cidr("::/0")->contains(v6));
  EXPECT_FALSE(parse_cidr("::/0")->contains(v4));
  EXPECT_TRUE(parse_cidr("2001:db8:0:1:8000::/65")->contains(v6));
  EXPECT_FALSE(parse_cidr("2001:db8:0:1::/65")->contains(v6));
  EXPECT_TRUE(parse_cidr("2001:db8::/63")->contains(v6));
  EXPECT_FALSE(parse_cidr("2001:db8::/64")->contains(v6));
  EXPECT_TRUE(parse_cidr("2001:db8:0:1:8000::1")->contains(v6));
  EXPECT_FALSE(parse_cidr("2001:db8:0:1:8000::2")->contains(v6));
}

TEST(NatConfigText, Ports) {
  EXPECT_EQ(*parse_ports("80"), std::vector<std::uint16_t>{80});
  EXPECT_EQ(*parse_ports("80,65535"), (std::vector<std::uint16_t>{80, 65535}));
  for (const char* bad : {"", ",", "0", "65536", "80,,81", "80 ", "http", "-1"}) {
    EXPECT_FALSE(parse_ports(bad)) << bad;
  }
}

TEST(NatConfigText, PublishedPorts) {
  EXPECT_EQ(*parse_published("8080:80"), (PublishedPort{IpAddress::from_v4(ipv4(127, 0, 0, 1)), 8080, 80}));
  EXPECT_EQ(*parse_published("0.0.0.0:8080:80"), (PublishedPort{IpAddress::from_v4(0), 8080, 80}));
  EXPECT_EQ(*parse_published("5353:53/udp"),
            (PublishedPort{IpAddress::from_v4(ipv4(127, 0, 0, 1)), 5353, 53, true}));
  EXPECT_EQ(*parse_published("[::1]:8080:80"), (PublishedPort{kLoopback6, 8080, 80}));
  EXPECT_EQ(*parse_published("[::]:8080:80/udp"), (PublishedPort{kUnspecified6, 8080, 80, true}));
  for (const char* bad : {"",
                          "/udp",
                          "80:80/",
                          "80:80/tcp",
                          "80/udp:80",
                          "80",
                          ":80",
                          "80:",
                          "0:80",
                          "x:8080:80",
                          "1.2.3.4:80",
                          "1:2:3:4",
                          "::1:8080:80",
                          "[::1]8080:80",
                          "[::1]:8080",
                          "[::1:8080:80",
                          "[]:8080:80",
                          "[1.2.3.4]:8080:80",
                          "[::1]:1:2:3",
                          "[fe80::1%lo]:1:2"}) {
    EXPECT_FALSE(parse_published(bad)) << bad;
  }
}

TEST(NatPolicyOptions, LoopbackOpenOnNamedPortsAlone) {
  Server open([](int) {});
  Server closed([](int) {});
  Bench bench({.allow_host_loopback = true, .mtu = 1500, .loopback_ports = {open.port()}});
  GuestTcp may(bench, open.port(), 40000);
  EXPECT_TRUE(may.connect());
  GuestTcp may_not(bench, closed.port(), 40001);
  EXPECT_FALSE(may_not.connect());
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 1U);
  EXPECT_EQ(closed.accepted(), 0);
}

TEST(NatPolicyOptions, DeniedNetworksAreRefused) {
  Server server([](int) {});
  Bench bench({.allow_host_loopback = true,
               .mtu = 1500,
               .deny = {Cidr::v4(kGatewayIp, 32), Cidr::v4(ipv4(8, 0, 0, 0), 7)}});
  for (const Ipv4 dst : {kGatewayIp, ipv4(8, 8, 8, 8), ipv4(9, 255, 255, 255)}) {
    GuestTcp guest(bench, server.port(), 40000, dst);
    EXPECT_FALSE(guest.connect());
  }
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kDenied], 3U);
  EXPECT_EQ(server.accepted(), 0);
}

TEST(Endpoint, IsReadAsItIsWritten) {
  const IpAddress four = IpAddress::from_v4(ipv4(192, 0, 2, 1));
  EXPECT_EQ(endpoint_from_text("192.0.2.1:80"), (Endpoint{four, 80}));
  EXPECT_EQ(endpoint_from_text("[::1]:0"), (Endpoint{kLoopback6, 0}));
  for (const Endpoint& one : {Endpoint{four, 65535}, Endpoint{kGatewayIp6, 1}, Endpoint{kUnspecified6, 7}})
    EXPECT_EQ(endpoint_from_text(to_text(one.address, one.port)), one);
  for (const char* bad :
       {"", ":", "80", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:8x",
        "[192.0.2.1]:80", "::1:80", "[::1]", "[::1]80", "[::1:80", "::1]:80", "[]:80", "[:80", "host:80"})
    EXPECT_FALSE(endpoint_from_text(bad)) << bad;
}

}  // namespace
}  // namespace glassbox::net
