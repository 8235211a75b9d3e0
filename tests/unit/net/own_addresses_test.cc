// The host's own IPv6 addresses, in a network namespace of the test: all of them are closed, as loopback is.
#include <gtest/gtest.h>

#include "ipv6_frames.h"
#include "net/policy.h"
#include "private_net.h"
#include "test_guest.h"
#include "tests/unit/net/loop/virtual_loop.h"

namespace glassbox::net {
namespace {

constexpr IpAddress kGlobal = {0x2001'0db8'0001'0002, 0x7};
constexpr IpAddress kAnycast = {0x2001'0db8'0001'0002, 0};
constexpr IpAddress kLinkLocal = {0xfe80'0000'0000'0000, 0x7};
constexpr IpAddress kAnycastOfLink = {0xfe80'0000'0000'0000, 0};
constexpr IpAddress kOtherLinkLocal = {0xfe80'0000'0000'0000, 0x9};

class OwnAddresses : public testing::Test {
 protected:
  void SetUp() override {
    if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
    if (!world.has_ipv6) GTEST_SKIP() << "no IPv6 here";
    ASSERT_TRUE(PrivateNet::add_address6(kGlobal, 64));
    ASSERT_TRUE(PrivateNet::add_address6(kLinkLocal, 64));
  }
  // How many of TCP, UDP and echo are refused for the reason.
  static std::uint64_t refused(Bench& bench, const IpAddress& destination, RefuseReason reason) {
    const auto before = bench.nat->counters()[reason];
    bench.inject(build_ipv6({kProtocolTcp, kGuestIp6, destination}, tcp_segment(80, 1, 0, kTcpSyn), 16));
    bench.inject(build_ipv6({kProtocolUdp, kGuestIp6, destination}, udp_datagram(5000, 80, "x"), 6));
    bench.inject(build_ipv6({.destination = destination}, {128, 0, 0, 0, 1, 2, 3, 4}, 2));
    return bench.nat->counters()[reason] - before;
  }
  PrivateNet world;
};

// Global, link-local, and the anycast address that goes with each of them (RFC 4291, 2.6.1).
TEST_F(OwnAddresses, AreClosedLikeTheLoopback) {
  Bench bench({.allow_host_loopback = false, .mtu = 1500, .deny = {}});
  for (const IpAddress& own : {kGlobal, kAnycast, kLinkLocal, kAnycastOfLink, PrivateNet::kAddress6}) {
    EXPECT_EQ(refused(bench, own, RefuseReason::kHostAddressClosed), 3U) << std::hex << own.hi << own.lo;
  }
  EXPECT_EQ(bench.nat->counters().flows_opened, 0U);
  EXPECT_EQ(bench.nat->counters().udp_flows_opened, 0U);
  EXPECT_EQ(bench.nat->counters().echo_flows_opened, 0U);
}

TEST_F(OwnAddresses, LinkLocalOfOthersIsUnreachableEvenWhereItIsNotDenied) {
  Bench bench({.allow_host_loopback = true, .mtu = 1500, .deny = {}});
  EXPECT_EQ(refused(bench, kOtherLinkLocal, RefuseReason::kUnreachable), 3U);
}

// Destinations on this host are recognized: their connects end at once, and their hops are not counted.
TEST_F(OwnAddresses, AreKnownToBeOnThisHost) {
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  const auto policy_with = [&](const IpAddress& dns) {
    const NatConfig config{.allow_host_loopback = true, .deny = {}, .dns = {dns}};
    return std::move(*DestinationPolicy::create(config, *loop));
  };
  const IpAddress stranger = IpAddress::from_v4(ipv4(203, 0, 113, 5));
  const auto policy = policy_with(stranger);
  const IpAddress own = IpAddress::from_v4(PrivateNet::kAddress);
  for (const IpAddress& address : {kGatewayIp6, IpAddress::from_v4(kGatewayIp), kGlobal, kLinkLocal, own}) {
    const auto verdict = policy->check(address, 80);
    EXPECT_EQ(verdict.refuse, RefuseReason::kNone);
    EXPECT_TRUE(verdict.local) << std::hex << address.hi << address.lo;
    EXPECT_FALSE(verdict.dns);
  }
  EXPECT_FALSE(policy->check(stranger, 80).local);
  const auto far = policy->check(kDnsIp6, kDnsPort);
  EXPECT_TRUE(far.dns && !far.local && far.connect_to == stranger);
  const auto near = policy_with(own)->check(IpAddress::from_v4(kDnsIp), kDnsPort);
  EXPECT_TRUE(near.dns && near.local && near.connect_to == own);
}

// The guest sees peers that it could not answer to as the gateway.
TEST_F(OwnAddresses, PeersOfTheHostsOwnAndOfLinksAreSeenAsTheGateway) {
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  const NatConfig config;
  const auto policy = std::move(*DestinationPolicy::create(config, *loop));
  const IpAddress gateway = IpAddress::from_v4(kGatewayIp);
  for (const IpAddress& peer : {kGlobal, kLinkLocal, kOtherLinkLocal, kLoopback6, kGuestIp6})
    EXPECT_EQ(policy->seen_by_guest(peer), kGatewayIp6) << std::hex << peer.hi << peer.lo;
  for (const Ipv4 peer : {PrivateNet::kAddress, ipv4(127, 0, 0, 1), ipv4(127, 9, 9, 9), kGuestIp, kDnsIp})
    EXPECT_EQ(policy->seen_by_guest(IpAddress::from_v4(peer)), gateway) << std::hex << peer;
  constexpr IpAddress kStranger = {0x2001'0db8'0009'0009, 9};
  const IpAddress stranger4 = IpAddress::from_v4(ipv4(203, 0, 113, 5));
  EXPECT_EQ(policy->seen_by_guest(kStranger), kStranger);
  EXPECT_EQ(policy->seen_by_guest(stranger4), stranger4);
}

// An address that comes while the NAT runs is closed as well; one that was there stays so.
TEST_F(OwnAddresses, NewOnesAreLearnt) {
  Bench bench({.allow_host_loopback = false, .mtu = 1500, .deny = {}});
  constexpr IpAddress kNew = {0x2001'0db8'0003'0004, 0x7};
  ASSERT_TRUE(PrivateNet::add_address6(kNew, 128));
  ASSERT_TRUE(bench.run_until([&] { return refused(bench, kNew, RefuseReason::kHostAddressClosed) == 3; }));
  EXPECT_EQ(refused(bench, kGlobal, RefuseReason::kHostAddressClosed), 3U);
}

// With an IPv4 address of the loopback interface its whole network is the host's own: services of the host
// answer at all of its addresses, as they do in 127/8.
TEST_F(OwnAddresses, NetworksOfTheLoopbackInterfaceAreClosedWhole) {
  constexpr Ipv4 kNeighbour = PrivateNet::kAddress + 1;  // within the /24, and not assigned
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress anywhere(IpAddress::from_v4(0), 0);
  ASSERT_EQ(::bind(listener.get(), anywhere.get(), anywhere.length()), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  SocketAddress bound;
  ASSERT_EQ(::getsockname(listener.get(), bound.get(), bound.length_out()), 0);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress to(IpAddress::from_v4(kNeighbour), bound.port());
  ASSERT_EQ(::connect(client.get(), to.get(), to.length()), 0) << "not this kernel's way";

  VirtualLoop loop;
  const auto policy_that = [&loop](bool opens) {
    const NatConfig config{.allow_host_loopback = opens, .deny = {}};
    return std::move(*DestinationPolicy::create(config, loop));
  };
  const IpAddress neighbour = IpAddress::from_v4(kNeighbour);
  const IpAddress beyond = IpAddress::from_v4(PrivateNet::kAddress + 256);
  EXPECT_EQ(policy_that(false)->check(neighbour, bound.port()).refuse, RefuseReason::kHostAddressClosed);
  EXPECT_EQ(policy_that(false)->check(beyond, bound.port()).refuse, RefuseReason::kNone);
  EXPECT_TRUE(policy_that(true)->check(neighbour, bound.port()).local);
}

TEST_F(OwnAddresses, OnesThatGoAreForgotten) {
  VirtualLoop loop;
  const auto policy = std::move(*DestinationPolicy::create(NatConfig{}, loop));
  const IpAddress own = IpAddress::from_v4(PrivateNet::kAddress);
  const IpAddress neighbour = IpAddress::from_v4(PrivateNet::kAddress + 1);
  EXPECT_TRUE(policy->is_own(own) && policy->is_own(neighbour));
  ASSERT_NO_FATAL_FAILURE(PrivateNet::drop_address());
  loop.turn();
  EXPECT_FALSE(policy->is_own(own) || policy->is_own(neighbour));
  EXPECT_TRUE(policy->is_own(kGlobal));
}

}  // namespace
}  // namespace glassbox::net
