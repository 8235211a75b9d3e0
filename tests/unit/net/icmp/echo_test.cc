// ICMP echo to other hosts, and the errors that the guest gets: real sockets in a network namespace of the
// test.
#include <gtest/gtest.h>

#include <algorithm>

#include "net/link/checksum.h"
#include "net/link/guest_link.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/private_net.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr Ipv4 kPeer = PrivateNet::kAddress;

std::string echo_request(std::uint16_t id, std::uint16_t sequence, const std::string& payload) {
  std::string icmp(kIcmpHeader, '\0');
  icmp += payload;
  auto* p = reinterpret_cast<std::uint8_t*>(icmp.data());
  p[0] = 8;
  store_be16(p + 4, id);
  store_be16(p + 6, sequence);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(p, icmp.size()));
  store_be16(p + 2, sum.value());
  return icmp;
}

std::uint16_t word(const std::string& bytes, std::size_t at) {
  return load_be16(reinterpret_cast<const std::uint8_t*>(bytes.data()) + at);
}

void expect_right_checksum(const std::string& message) {
  Checksum sum;
  sum.add(std::span(reinterpret_cast<const std::uint8_t*>(message.data()), message.size()));
  EXPECT_EQ(sum.value(), 0);
}

enum class Way { kPing, kRaw };

class NatEcho : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
    world.set_ping_groups(GetParam() == Way::kPing ? "0 2147483647" : "1 0");
    ASSERT_TRUE(world.ok);
  }
  PrivateNet world;
};

TEST_P(NatEcho, RequestsAreAnsweredUnderTheGuestsIdentifier) {
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  for (std::uint16_t i = 1; i <= 3; ++i) {
    const std::uint16_t id = i == 3 ? 0xffff : 77;
    const std::string payload(i * 400U, static_cast<char>('a' + i));
    bench.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(id, i, payload)));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->protocol, kProtocolIcmp);
    EXPECT_EQ(seen->source, kPeer);
    ASSERT_EQ(seen->payload.size(), kIcmpHeader + payload.size());
    EXPECT_EQ(seen->payload[0], 0);
    EXPECT_EQ(word(seen->payload, 4), id);
    EXPECT_EQ(word(seen->payload, 6), i);
    EXPECT_EQ(seen->payload.substr(kIcmpHeader), payload);
    expect_right_checksum(seen->payload);
  }
  EXPECT_EQ(bench.nat->counters().echo_flows_open, 2U);
}

TEST_P(NatEcho, TwoNatsHearTheirOwnRepliesAlone) {
  Bench first({.allow_host_loopback = true, .mtu = 1500});
  Bench second({.allow_host_loopback = true, .mtu = 1500});
  first.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(5, 1, "first")));
  second.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(5, 1, "second")));
  const auto a = first.next_frame();
  const auto b = second.next_frame();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->payload.substr(kIcmpHeader), "first");
  EXPECT_EQ(b->payload.substr(kIcmpHeader), "second");
  EXPECT_TRUE(first.run_until([] { return true; }));
  EXPECT_TRUE(first.quiet());
  EXPECT_TRUE(second.quiet());
}

TEST_P(NatEcho, LargeRequestsOfALargeMtu) {
  Bench bench({.allow_host_loopback = true, .mtu = 65520});
  const std::string payload = pattern(65000);
  bench.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(9, 1, payload)));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(kIcmpHeader), payload);
}

TEST_P(NatEcho, IdleFlowsGoAndTheTableIsBounded) {
  VirtualLoop loop;
  FakePort port;
  auto nat = std::move(*Nat::create({.allow_host_loopback = true, .mtu = 1500}, loop, port));
  const auto inject = [&](const std::vector<std::uint8_t>& frame) {
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  };
  for (std::uint16_t id = 0; id < 300; ++id)
    inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(id, 1, "")));
  EXPECT_EQ(nat->counters().echo_flows_open, 256U);
  EXPECT_EQ(nat->counters()[RefuseReason::kTableFull], 44U);
  loop.turn();
  for (int i = 0; i < 14; ++i) {
    ASSERT_NE(loop.deadline_ns(), 0U);
    loop.advance_to(loop.deadline_ns());
    if (i < 10) inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(7, 1, "")));
    while (loop.turn()) {
    }
  }
  EXPECT_EQ(nat->counters().echo_flows_open, 1U);  // the one that was used
}

TEST_P(NatEcho, PolicyHoldsForEcho) {
  Bench bench({.allow_host_loopback = false,
               .mtu = 1500,
               .deny = {kDeniedByDefault[0], Cidr::v4(ipv4(203, 0, 113, 0), 24)}});
  const std::vector<std::pair<Ipv4, RefuseReason>> cases = {
      {ipv4(127, 0, 0, 1), RefuseReason::kHostLoopbackClosed},
      {Ipv4{0}, RefuseReason::kHostLoopbackClosed},
      {kPeer, RefuseReason::kHostAddressClosed},
      {ipv4(169, 254, 169, 254), RefuseReason::kDenied},
      {ipv4(203, 0, 113, 5), RefuseReason::kDenied}};
  for (const auto& [destination, reason] : cases) {
    const auto before = bench.nat->counters()[reason];
    const std::string request = echo_request(1, 1, "may I?");
    bench.inject(build_ipv4(kProtocolIcmp, destination, request));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->source, kGatewayIp);
    EXPECT_EQ(seen->payload[0], 3);
    EXPECT_EQ(seen->payload[1], 13);
    EXPECT_EQ(seen->payload.substr(kIcmpHeader + kIpv4Header), request);
    EXPECT_EQ(bench.nat->counters()[reason], before + 1) << name_of(reason);
  }
  EXPECT_EQ(bench.nat->counters().echo_flows_opened, 0U);
}

TEST_P(NatEcho, NoWayIsToldAtOnce) {
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  bench.inject(build_ipv4(kProtocolIcmp, PrivateNet::kUnreachable, echo_request(1, 1, "")));
  auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\1"));
  bench.inject(build_ipv4(kProtocolIcmp, PrivateNet::kNoRoute, echo_request(1, 1, "")));
  seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\0", 2));
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kUnreachable], 1U);
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kNetworkUnreachable], 1U);
}

// The identifier of the next echo request outside.
std::uint16_t next_id_on(const UniqueFd& wire) {
  std::array<std::uint8_t, 2000> packet{};
  do {
    if (::recv(wire.get(), packet.data(), packet.size(), 0) < 0) return 0;
  } while (packet[kIpv4Header] != 8);
  return load_be16(&packet[kIpv4Header + 4]);
}

// A router's error about one of two requests quotes the identifier that the router saw. The guest gets its
// own.
TEST_P(NatEcho, ErrorsOfTheNetworkQuoteTheGuestsIdentifier) {
  const UniqueFd wire(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!wire) GTEST_SKIP() << "no right to listen on a wire here";
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  std::vector<std::uint16_t> host_ids;
  for (const std::uint16_t id : {76, 77}) {
    bench.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(id, 1, "")));
    host_ids.push_back(next_id_on(wire));
    ASSERT_TRUE(bench.next_frame());  // the answer
  }
  ASSERT_NE(host_ids[0], host_ids[1]);
  auto quoted = build_ipv4(kProtocolIcmp, kPeer, echo_request(host_ids[1], 1, ""), 0, kPeer);
  std::string error("\3\1\0\0\0\0\0\0", 8);
  error.append(quoted.begin() + kEthernetHeader, quoted.end());
  auto* e = reinterpret_cast<std::uint8_t*>(error.data());
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(e, error.size()));
  store_be16(e + 2, sum.value());
  const SocketAddress to(IpAddress::from_v4(kPeer), 0);
  ASSERT_GT(::sendto(wire.get(), error.data(), error.size(), 0, to.get(), to.length()), 0);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\1"));
  EXPECT_EQ(word(seen->payload, kIcmpHeader + kIpv4Header + 4), 77);
  expect_right_checksum(seen->payload.substr(kIcmpHeader + kIpv4Header));
  ASSERT_TRUE(bench.run_until([] { return true; }));
  EXPECT_TRUE(bench.quiet());
  EXPECT_EQ(bench.nat->counters().icmp_errors_passed, 1U);
}

// The route was removed while the flow was open: the refusal quotes the request as the guest sent it.
TEST_P(NatEcho, LostWayIsToldInTheGuestsWords) {
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  bench.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(77, 1, "")));
  ASSERT_TRUE(bench.next_frame());
  ASSERT_NO_FATAL_FAILURE(PrivateNet::drop_address());
  const std::string request = echo_request(77, 2, "still there?");
  bench.inject(build_ipv4(kProtocolIcmp, kPeer, request));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload[0], 3);
  EXPECT_EQ(seen->payload.substr(kIcmpHeader + kIpv4Header), request);
}

TEST_P(NatEcho, Ipv6GoesTheSameWay) {
  if (!world.has_ipv6) GTEST_SKIP() << "no IPv6 here";
  constexpr IpAddress kPeer6 = PrivateNet::kAddress6;
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  std::string message = echo_request(77, 5, "over IPv6");
  auto* icmp = reinterpret_cast<std::uint8_t*>(message.data());
  const auto checksum = [](const IpAddress& from, const IpAddress& to, std::span<const std::uint8_t> bytes) {
    Checksum sum;
    sum.add_pseudo_header(from, to, kProtocolIcmpv6, bytes.size());
    sum.add(bytes);
    return sum.value();
  };
  icmp[0] = 128;
  store_be16(icmp + 2, 0);
  store_be16(icmp + 2, checksum(kGuestIp6, kPeer6, {icmp, message.size()}));
  std::vector<std::uint8_t> frame(kEthernetHeader + kIpv6Header);
  std::copy(kGatewayMac.begin(), kGatewayMac.end(), frame.begin());
  std::copy(kGuestMac.begin(), kGuestMac.end(), frame.begin() + 6);
  store_be16(&frame[12], kEthertypeIpv6);
  put_ipv6_header(&frame[kEthernetHeader], kProtocolIcmpv6, kGuestIp6, kPeer6, message.size());
  frame.insert(frame.end(), message.begin(), message.end());
  bench.inject(frame);
  EXPECT_EQ(bench.nat->counters().echo_flows_open, 1U);
  const auto is_reply = [](const PublishedFrame& seen) {
    return seen.bytes.size() > 54 && load_be16(&seen.bytes[12]) == kEthertypeIpv6 && seen.bytes[54] == 129;
  };
  ASSERT_TRUE(bench.run_until(
      [&] { return std::any_of(bench.port.published.begin(), bench.port.published.end(), is_reply); }));
  const auto& seen = *std::find_if(bench.port.published.begin(), bench.port.published.end(), is_reply);
  const auto reply = std::span<const std::uint8_t>(seen.bytes).subspan(kEthernetHeader + kIpv6Header);
  EXPECT_EQ(IpAddress::load(&seen.bytes[kEthernetHeader + 8]), kPeer6);
  EXPECT_EQ(IpAddress::load(&seen.bytes[kEthernetHeader + 24]), kGuestIp6);
  EXPECT_EQ(load_be16(&reply[4]), 77);
  EXPECT_EQ(load_be16(&reply[6]), 5);
  EXPECT_EQ(std::string(reply.begin() + 8, reply.end()), "over IPv6");
  EXPECT_EQ(checksum(kPeer6, kGuestIp6, reply), 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, NatEcho, testing::Values(Way::kPing, Way::kRaw),
                         [](const auto& way) { return way.param == Way::kPing ? "Ping" : "Raw"; });

TEST(NatEchoClosed, GuestIsToldThatItIsProhibited) {
  PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  world.set_ping_groups("1 0");
  world.drop_raw_capability();
  ASSERT_TRUE(world.ok);
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  bench.inject(build_ipv4(kProtocolIcmp, kPeer, echo_request(1, 1, "")));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\xd"));
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kEchoClosed], 1U);
}

TEST(NatEchoHops, GatewayIsTheFirstHop) {
  Bench bench({.allow_host_loopback = true, .mtu = 1500});
  const std::string request = echo_request(3, 1, "how far?");
  auto frame = build_ipv4(kProtocolIcmp, ipv4(203, 0, 113, 5), request);
  set_ttl(frame, 1);
  bench.inject(frame);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->source, kGatewayIp);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\xb\0", 2));
  EXPECT_EQ(seen->payload.substr(kIcmpHeader + kIpv4Header), request);
  EXPECT_EQ(bench.nat->counters()[DropReason::kHopsEnded], 1U);
  frame = build_ipv4(kProtocolIcmp, kGatewayIp, request);  // which is at the gateway already
  set_ttl(frame, 1);
  bench.inject(frame);
  const auto reply = bench.next_frame();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->payload[0], 0);
}

}  // namespace
}  // namespace glassbox::net
