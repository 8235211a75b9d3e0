// Guests and servers that break the rules: nothing hangs, nothing grows without bound, each flow ends with a
// reason, and other flows go on. Time is virtual; the host's sockets are real, and the test itself drives
// them.
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/net/tcp/puppet.h"

namespace glassbox::net {
namespace {

class HostileTest : public VirtualNat {
 protected:
  // Begins one connection from each port from 1024 on, and does not continue it.
  void flood_with_syns(std::uint16_t dst_port, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      inject({.guest_port = static_cast<std::uint16_t>(1024 + i),
              .dst_port = dst_port,
              .seq = kIss,
              .flags = kTcpSyn});
    }
    settle();
  }
};

TEST_F(HostileTest, SynFloodIsBoundedAndOtherFlowsGoOn) {
  Host good, slow(0);
  Puppet first(loop, port, *nat, good.port);
  ASSERT_TRUE(first.connect());
  ASSERT_TRUE(good.accept());
  // No server accepts, so all but a few of the host's connects stay in progress.
  constexpr unsigned kSyns = 6000;
  flood_with_syns(slow.port, kSyns);
  EXPECT_LE(counters().flows_connecting, 4096U);
  const std::uint64_t refused =
      counters()[RefuseReason::kTooManyConnecting] + counters()[RefuseReason::kHostResources];
  EXPECT_GE(refused + counters().flows_open, kSyns);
  EXPECT_GT(refused, 0U);
  EXPECT_LE(port.published.size(), kSyns + 100);  // an answer each, no more
  port.published.clear();
  expect_cycle(good, first);
  pass(400 * kSecondNs);
  EXPECT_EQ(counters().flows_connecting, 0U);
  EXPECT_EQ(counters().flows_open, 1U);
  EXPECT_EQ(loop.watched(), watched_at_start + 1);
  first.received.clear();
  expect_cycle(good, first);
}

TEST_F(HostileTest, HalfOpenFlowsEndByThemselves) {
  Host open(4096);
  constexpr unsigned kFlows = 300;
  flood_with_syns(open.port, kFlows);
  EXPECT_EQ(counters().flows_open, kFlows);
  pass(180 * kSecondNs);
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kGuestSilent], kFlows);
  EXPECT_LE(port.published.size(), kFlows * 13U);  // SYN-ACKs that grow rare, and a reset
  EXPECT_EQ(loop.watched(), watched_at_start);
}

// The guest asks for connections and takes no answers.
TEST_F(HostileTest, HalfOpenFlowsOfAGuestWithoutBuffersEndAsSoon) {
  Host open(4096);
  port.frames_left = 0;
  constexpr unsigned kFlows = 300;
  flood_with_syns(open.port, kFlows);
  EXPECT_EQ(counters().flows_open, kFlows);
  pass(400 * kSecondNs);
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kGuestSilent], kFlows);
  EXPECT_EQ(loop.watched(), watched_at_start);
}

TEST_F(HostileTest, WindowOfOneByteCarriesAllBytes) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  guest.window = 1;
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string data = pattern(500);
  host.send(data);
  host.fd.reset();
  for (int i = 0; i < 2000 && !guest.fin; ++i) {
    guest.turn();
    guest.acknowledge();
  }
  EXPECT_TRUE(guest.fin);
  EXPECT_EQ(guest.received, data);
}

// RFC 9293, 3.8.6.1: as long as probes are answered the connection stays, however long the window is shut.
TEST_F(HostileTest, WindowThatShrinksToNothingHoldsTheFlowWhileProbesAreAnswered) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string data = pattern(30'000);
  ASSERT_EQ(host.send(data), data.size());
  while (loop.turn()) {
  }
  port.published.clear();  // the guest had no memory for any of it
  guest.window = 0;
  for (int i = 0; i < 40; ++i) {
    guest.acknowledge();
    pass(9 * kSecondNs);
    ASSERT_EQ(counters().flows_open, 1U) << "given up at answer " << i;
    EXPECT_LE(port.published.size(), 8U);
    port.published.clear();
  }
  guest.window = 65535;
  for (int i = 0; i < 100 && guest.received.size() < data.size(); ++i) {
    guest.acknowledge();
    pass(kSecondNs);
    guest.turn();
  }
  EXPECT_TRUE(guest.received == data);
}

TEST_F(HostileTest, GuestThatShutItsWindowAndDiedIsGivenUp) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  guest.window = 0;
  guest.acknowledge();
  host.send("never taken");
  pass(180 * kSecondNs);
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kGuestSilent], 1U);
  host.receive();
  EXPECT_EQ(host.error, ECONNRESET);
  EXPECT_EQ(loop.watched(), watched_at_start);
}

TEST_F(HostileTest, SilentGuestIsGivenUpAndBothSidesLearnOfIt) {
  Host host, other_host;
  Puppet guest(loop, port, *nat, host.port), other(loop, port, *nat, other_host.port, 40001);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  ASSERT_TRUE(other.connect());
  ASSERT_TRUE(other_host.accept());
  std::size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    sent += host.send(std::string(100'000, 'x'));
    loop.turn();
  }
  EXPECT_LT(sent, 32U << 20);
  EXPECT_LT(port.published.size(), 1000U);
  expect_cycle(other_host, other);
  pass(180 * kSecondNs);
  guest.turn();
  EXPECT_TRUE(guest.reset);
  EXPECT_EQ(counters()[CloseReason::kGuestSilent], 1U);
  EXPECT_EQ(counters().flows_open, 1U);
  host.receive();
  EXPECT_EQ(host.error, ECONNRESET);
  other.received.clear();
  expect_cycle(other_host, other);
}

TEST_F(HostileTest, RetransmissionsThatOverlapAreCutToWhatIsNew) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string data = pattern(6000);
  // Every segment begins 50 bytes early and is followed by a copy of an older one.
  for (std::size_t at = 0; at < data.size(); at += 100) {
    const std::size_t from = at < 50 ? 0 : at - 50;
    guest.send_at(kIss + 1 + static_cast<Seq>(from), kTcpAck, data.substr(from, at + 100 - from));
    guest.send_at(kIss + 1 + static_cast<Seq>(from / 2), kTcpAck, data.substr(from / 2, 80));
  }
  // Other bytes in old places change nothing.
  guest.send_at(kIss + 1, kTcpAck, std::string(200, '!'));
  guest.snd_nxt = kIss + 1 + static_cast<Seq>(data.size());
  guest.send(kTcpAck | kTcpFin);
  guest.turn();
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  EXPECT_TRUE(host.receive() == data);
  EXPECT_TRUE(host.ended);
}

TEST_F(HostileTest, AcknowledgementsOfUnsentDataFreeNothing) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  host.send("abc");
  while (loop.turn()) {
  }
  port.published.clear();  // lost
  for (const Seq ahead : {4U, 1000U, 1U << 20, 1U << 30, (1U << 31) - 1}) {
    guest.rcv_nxt += ahead;
    guest.acknowledge();
    guest.rcv_nxt -= ahead;
  }
  EXPECT_EQ(counters()[DropReason::kBadAck], 5U);
  EXPECT_EQ(counters().flows_open, 1U);
  pass(2 * kSecondNs);
  guest.turn();
  EXPECT_EQ(guest.received, "abc");
}

TEST_F(HostileTest, ServerThatAcceptsSlowlyHoldsUpNobodyElse) {
  Host slow(0), good;
  std::vector<std::unique_ptr<Puppet>> waiting;
  for (std::uint16_t i = 0; i < 8; ++i) {
    waiting.push_back(
        std::make_unique<Puppet>(loop, port, *nat, slow.port, static_cast<std::uint16_t>(50000 + i)));
    waiting.back()->connect();
  }
  EXPECT_GT(counters().flows_connecting, 0U);
  Puppet guest(loop, port, *nat, good.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(good.accept());
  expect_cycle(good, guest);
  pass(200 * kSecondNs);
  EXPECT_EQ(counters().flows_connecting, 0U);
  EXPECT_GT(counters()[CloseReason::kConnectTimeout], 0U);
  guest.received.clear();
  expect_cycle(good, guest);
}

TEST_F(HostileTest, ServerThatResetsMidStreamEndsTheFlowBothWays) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  for (int i = 0; i < 50; ++i)
    guest.send(kTcpAck, std::string(1400, 'u'));
  host.send(std::string(50'000, 'd'));
  guest.turn();
  host.reset();
  guest.send(kTcpAck, "after");
  guest.turn();
  EXPECT_TRUE(guest.reset);
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kHostReset], 1U);
  EXPECT_EQ(loop.watched(), watched_at_start);
}

TEST_F(HostileTest, ServerThatClosesWithBytesUnreadResetsTheGuest) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck, "nobody reads this");
  ASSERT_TRUE(host.accept());
  host.fd.reset();
  guest.turn();
  guest.send(kTcpAck, "nor this");
  guest.turn();
  EXPECT_TRUE(guest.reset);
  EXPECT_EQ(counters().flows_open, 0U);
}

// The guest reads nothing and goes on writing: the reset must not wait behind bytes that it will never take.
TEST_F(HostileTest, ServersResetReachesAGuestThatWritesWithItsWindowShut) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  guest.window = 0;
  guest.acknowledge();
  host.send("an answer that nobody reads");
  guest.turn();
  host.reset();
  guest.turn();
  EXPECT_FALSE(guest.reset) << "it may read yet";
  guest.send(kTcpAck, "and more to say");
  for (int i = 0; i < 20 && !guest.reset; ++i) {
    pass(kSecondNs);
    guest.turn();
    guest.acknowledge();  // the answer to a probe: the window is as it was
  }
  EXPECT_TRUE(guest.reset);
  EXPECT_EQ(counters()[CloseReason::kHostReset], 1U);
  EXPECT_EQ(counters().flows_open, 0U);
}

TEST_F(HostileTest, ServerThatNeverReadsTakesBoundedMemoryAndOthersGoOn) {
  Host deaf, good;
  Puppet guest(loop, port, *nat, deaf.port), other(loop, port, *nat, good.port, 40001);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(deaf.accept());
  ASSERT_TRUE(other.connect());
  ASSERT_TRUE(good.accept());
  // Regardless of any window, until nothing of a segment is taken.
  std::size_t sent = 0;
  for (int refused = 0; refused < 100 && sent < 64U << 20;) {
    guest.send_at(guest.acked == 0 ? guest.snd_nxt : guest.acked, kTcpAck, std::string(1400, 'z'));
    const Seq before = guest.acked;
    guest.turn();
    refused = guest.acked == before ? refused + 1 : 0;
    sent += guest.acked - before;
  }
  EXPECT_LT(sent, 64U << 20);
  EXPECT_LE(counters().overflow_bytes, 2U << 20);
  expect_cycle(good, other);
}

// RFC 5681, 3.2: the third duplicate shows that a frame is lost and later ones arrive. The frame is repeated
// without waiting for the timer.
TEST_F(HostileTest, ThreeDuplicateAcknowledgementsBringTheLostFrameAtOnce) {
  port.offered.rx_tso4 = false;
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string data = pattern(8 * 1460);
  ASSERT_EQ(host.send(data), data.size());
  while (loop.turn()) {
  }
  ASSERT_EQ(port.published.size(), 8U);
  port.published.pop_front();
  guest.turn();
  EXPECT_EQ(guest.received, "");
  for (int i = 0; i < 3; ++i)
    guest.acknowledge();
  guest.turn();
  EXPECT_EQ(guest.received, data.substr(0, 1460));
  EXPECT_EQ(counters().retransmissions, 1U);
}

// RFC 5681, 2: an acknowledgement that changes the window is not a duplicate.
TEST_F(HostileTest, WindowUpdatesAreNoDuplicateAcknowledgements) {
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  host.send("on its way");
  while (loop.turn()) {
  }
  port.published.clear();
  for (int i = 0; i < 6; ++i) {
    guest.window = static_cast<std::uint16_t>(guest.window - 1000);
    guest.acknowledge();
  }
  guest.turn();
  EXPECT_EQ(guest.received, "");
  EXPECT_EQ(counters().retransmissions, 0U);
  for (int i = 0; i < 3; ++i)
    guest.acknowledge();
  guest.turn();
  EXPECT_EQ(guest.received, "on its way");
}

class HalfClosed : public HostileTest, public testing::WithParamInterface<bool> {};

TEST_P(HalfClosed, IdleFlowWakesNobody) {
  const bool guest_first = GetParam();
  Host host;
  Puppet guest(loop, port, *nat, host.port);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  if (guest_first) {
    guest.send(kTcpAck | kTcpFin);
  } else {
    ::shutdown(host.fd.get(), SHUT_WR);
  }
  guest.turn();
  guest.acknowledge();
  guest.turn();
  EXPECT_LE(pass(60 * kSecondNs), 2);  // 120 would be two a second
  EXPECT_FALSE(loop.turn());
  EXPECT_EQ(counters().flows_open, 1U);
}

INSTANTIATE_TEST_SUITE_P(By, HalfClosed, testing::Bool(),
                         [](const auto& by) { return by.param ? "guest" : "server"; });

}  // namespace
}  // namespace glassbox::net
