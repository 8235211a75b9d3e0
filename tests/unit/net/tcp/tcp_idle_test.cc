// Idle connections: they are kept for hours and then probed. And the options of the host's sockets.
#include <netinet/tcp.h>

#include "puppet.h"
#include "tests/unit/net/private_net.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kIdleNs = 7440 * kSecondNs;  // RFC 5382, REQ-5: 2 hours 4 minutes at least

// An option of the NAT's socket that is connected to the port; -1 if there is none. The NAT is in this very
// process.
int option_of_socket_to(std::uint16_t port, int level, int option) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != port) continue;
    int value = -1;
    length = sizeof(value);
    ::getsockopt(fd, level, option, &value, &length);
    return value;
  }
  return -1;
}

class TcpIdle : public VirtualNat {
 protected:
  void SetUp() override {
    ASSERT_TRUE(guest.connect());
    ASSERT_TRUE(host.accept());
  }
  // Keepalive probes among what the guest got: an acknowledgement of a number that it has acknowledged.
  int probes() {
    int count = 0;
    while (loop.turn()) {
    }
    for (; !port.published.empty(); port.published.pop_front()) {
      const Seen seen = take_apart(port.published.front());
      if (seen.protocol != kProtocolTcp || !seen.payload.empty() || seen.seq != guest.rcv_nxt - 1) continue;
      EXPECT_EQ(seen.flags, kTcpAck);
      ++count;
    }
    return count;
  }
  Host host;
  Puppet guest{loop, port, *nat, host.port};
};

TEST_F(TcpIdle, HoursOfSilenceCostNothingAndEndNothing) {
  EXPECT_LE(pass(kIdleNs - kSecondNs), 4);
  EXPECT_EQ(probes(), 0);
  EXPECT_EQ(counters().flows_open, 1U);
  expect_cycle(host, guest);
  EXPECT_EQ(option_of_socket_to(host.port, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST_F(TcpIdle, ThenBothSidesAreAskedAndAnAnswerKeepsIt) {
  for (int times = 0; times < 3; ++times) {
    pass(kIdleNs - kSecondNs);
    EXPECT_EQ(probes(), 0);
    pass(2 * kSecondNs);
    EXPECT_EQ(probes(), 1);
    guest.acknowledge();
  }
  EXPECT_EQ(option_of_socket_to(host.port, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(counters().flows_open, 1U);
  expect_cycle(host, guest);
}

TEST_F(TcpIdle, GuestThatDoesNotAnswerIsGivenUp) {
  pass(kIdleNs + 600 * kSecondNs);
  EXPECT_GT(probes(), 3);
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kIdle], 1U);
  host.receive();
  EXPECT_EQ(host.error, ECONNRESET);
  EXPECT_EQ(loop.watched(), watched_at_start);
}

// The host's kernel must not hold back a second small segment until the first is acknowledged, which a server
// may take 40 ms to do: the guest's own TCP has decided to send it (RFC 1122, 4.2.3.4).
TEST_F(TcpIdle, SmallSegmentsAreNotHeldBack) {
  guest.send(kTcpAck | kTcpPsh, "one");
  EXPECT_EQ(host.receive(), "one");
  guest.send(kTcpAck | kTcpPsh, "two");
  EXPECT_EQ(host.receive(), "two");
  EXPECT_NE(option_of_socket_to(host.port, IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(TcpUnreachable, IsToldByIcmpAtOnce) {
  PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  Bench bench;
  const std::vector<std::tuple<Ipv4, std::uint8_t, RefuseReason>> cases = {
      {PrivateNet::kUnreachable, 1, RefuseReason::kUnreachable},
      {PrivateNet::kNoRoute, 0, RefuseReason::kNetworkUnreachable}};
  for (const auto& [destination, code, reason] : cases) {
    bench.inject(build_segment({.dst = destination, .seq = 77, .flags = kTcpSyn}));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    ASSERT_EQ(seen->protocol, kProtocolIcmp);
    EXPECT_EQ(seen->payload[0], 3);
    EXPECT_EQ(seen->payload[1], code);
    const auto* quoted = reinterpret_cast<const std::uint8_t*>(seen->payload.data()) + kIcmpHeader;
    EXPECT_EQ(load_be32(quoted + 16), destination);
    EXPECT_EQ(load_be32(quoted + kIpv4Header + 4), 77U);
    EXPECT_EQ(bench.nat->counters()[reason], 1U);
  }
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
}

}  // namespace
}  // namespace glassbox::net
