// The end of a guest: what the NAT has acknowledged reaches the peer, however late the peer reads, and the
// stream ends as the guest ended it.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "puppet.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kLingerNs = 10 * kSecondNs;

class TcpDrain : public VirtualNat {
 protected:
  // Opens a connection, and sends until the window is shut: host socket and NAT are full then.
  void fill(std::size_t at_least = 0) {
    ASSERT_TRUE(guest.connect());
    ASSERT_TRUE(host.accept());
    const std::string segment(1400, 'd');
    while (guest.peer_window >= segment.size() || sent < at_least) {
      guest.send(kTcpAck, segment);
      sent += segment.size();
      guest.turn();
      ASSERT_LT(sent, std::size_t{64} << 20) << "the window never shuts";
    }
    ASSERT_EQ(guest.acked, guest.snd_nxt) << "all of it is acknowledged";
    ASSERT_GT(counters().overflow_bytes, 0U);
  }
  void begin(GuestEnd end, std::uint64_t linger_ns = kLingerNs) {
    nat->begin_drain(end, linger_ns, [this](Drain::Event event, const Undelivered& left) {
      events.push_back(event);
      last = left;
    });
    settle();
  }
  // Reads at the peer until the drain ends or the stream does.
  void read_to_the_end() {
    for (int round = 0; round < 10'000 && !over(); ++round) {
      received += host.receive();
      pass(kSecondNs / 10);
      settle();
    }
  }
  [[nodiscard]] bool over() const { return !events.empty() && events.back() != Drain::Event::kWaits; }
  // The NAT goes, as it does after a drain, and the peer reads what is left.
  void end_nat() {
    nat.reset();
    received += host.receive();
  }

  Host host;
  Puppet guest{loop, port, *nat, host.port};
  std::size_t sent = 0;
  std::string received;
  std::vector<Drain::Event> events;
  Undelivered last;
};

TEST_F(TcpDrain, AGuestThatFinishedAndWentIsDeliveredWithItsEnd) {
  fill();
  guest.send(kTcpAck | kTcpFin);
  begin(GuestEnd::kMachine);
  EXPECT_FALSE(over()) << "the peer has read nothing";
  read_to_the_end();
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  end_nat();
  EXPECT_EQ(received.size(), sent);
  EXPECT_TRUE(host.ended) << host.error;
}

TEST_F(TcpDrain, AGuestThatWentUnfinishedIsDeliveredAndThenReset) {
  fill();
  begin(GuestEnd::kMachine);
  EXPECT_FALSE(over());
  read_to_the_end();
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  end_nat();
  EXPECT_EQ(received.size(), sent);
  EXPECT_EQ(host.error, ECONNRESET) << "an end of file would be a lie";
}

TEST_F(TcpDrain, BytesThatNothingReadsDoNotTurnTheEndIntoALoss) {
  fill();
  guest.send(kTcpAck | kTcpFin);
  host.send("nobody reads this");
  settle();
  begin(GuestEnd::kMachine);
  read_to_the_end();
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  end_nat();
  EXPECT_EQ(received.size(), sent);
}

TEST_F(TcpDrain, TheKernelOfACommandGoesOnSending) {
  fill();
  begin(GuestEnd::kCommand);
  for (int round = 0; round < 5; ++round) {  // what waited in the namespace's kernel, and then its FIN
    received += host.receive();
    settle();
    guest.send(kTcpAck, std::string(1400, 'k'));
    sent += 1400;
    guest.turn();
    EXPECT_FALSE(over());
  }
  guest.send(kTcpAck | kTcpFin);
  read_to_the_end();
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  end_nat();
  EXPECT_EQ(received.size(), sent);
  EXPECT_TRUE(host.ended) << host.error;
}

TEST_F(TcpDrain, APeerThatTakesNothingIsGivenUpAfterTheLingerTime) {
  fill();
  guest.send(kTcpAck | kTcpFin);
  begin(GuestEnd::kMachine);
  pass(kLingerNs - kSecondNs / 10);
  EXPECT_EQ(events, std::vector{Drain::Event::kWaits}) << "said once, after a second";
  pass(kSecondNs / 5);
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kGivenUp);
  EXPECT_EQ(last.flows, 1U);
  EXPECT_GT(last.bytes, 0U);
  EXPECT_LE(last.bytes, sent);
}

TEST_F(TcpDrain, ASlowPeerIsNotGivenUpWhileItReads) {
  fill();
  guest.send(kTcpAck | kTcpFin);
  begin(GuestEnd::kMachine);
  std::array<char, 256 * 1024> some;
  int rounds = 0;
  while (!over() && rounds < 1000) {
    ++rounds;
    const ssize_t n = ::recv(host.fd.get(), some.data(), some.size(), 0);
    if (n > 0) received.append(some.data(), static_cast<std::size_t>(n));
    pass(kLingerNs / 2);
    settle();
  }
  EXPECT_GE(rounds, 3) << "half the linger time each: longer than it in all";
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  end_nat();
  EXPECT_EQ(received.size(), sent);
}

TEST_F(TcpDrain, ManyFlowsOfEveryKindAreDelivered) {
  constexpr int kFlows = 24;
  std::vector<std::unique_ptr<Host>> hosts;
  std::vector<std::unique_ptr<Puppet>> guests;
  for (int i = 0; i < kFlows; ++i) {
    hosts.push_back(std::make_unique<Host>());
    guests.push_back(std::make_unique<Puppet>(loop, port, *nat, hosts.back()->port,
                                              static_cast<std::uint16_t>(41000 + i)));
    ASSERT_TRUE(guests.back()->connect());
    ASSERT_TRUE(hosts.back()->accept());
    for (int j = 0; j <= i; ++j)
      guests.back()->send(kTcpAck, std::string(1000, 'm'));
    if (i % 3 == 0) hosts.back()->send("unread");
    if (i % 2 == 0) guests.back()->send(kTcpAck | kTcpFin);
  }
  settle();
  begin(GuestEnd::kMachine);
  std::vector<std::size_t> arrived;
  for (const auto& each : hosts) {
    arrived.push_back(each->receive().size());
    const int on = 1;  // sends the acknowledgement that the kernel may delay
    ::setsockopt(each->fd.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
  }
  pass(kSecondNs);
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kComplete);
  nat.reset();
  for (int i = 0; i < kFlows; ++i)
    EXPECT_EQ(
        arrived.at(static_cast<std::size_t>(i)) + hosts.at(static_cast<std::size_t>(i))->receive().size(),
        1000U * static_cast<unsigned>(i + 1))
        << i;
}

TEST_F(TcpDrain, ALingerTimeOfZeroWaitsForNothing) {
  fill();
  begin(GuestEnd::kMachine, 0);
  ASSERT_TRUE(over());
  EXPECT_EQ(events.back(), Drain::Event::kGivenUp);
}

TEST_F(TcpDrain, AnAbandonedDrainEndsAtOnceAndOnce) {
  fill();
  begin(GuestEnd::kMachine);
  nat->abandon_drain();
  nat->abandon_drain();
  EXPECT_EQ(events, std::vector{Drain::Event::kGivenUp});
}

TEST_F(TcpDrain, WithoutFlowsItIsOverInAMillisecond) {
  begin(GuestEnd::kCommand);
  pass(kSecondNs / 1000);
  EXPECT_EQ(events, std::vector{Drain::Event::kComplete});
}

}  // namespace
}  // namespace glassbox::net
