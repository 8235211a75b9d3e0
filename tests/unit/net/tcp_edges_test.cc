// Segments at the very edge of what a rule lets through, step by step on virtual time.
#include <utility>

#include "puppet.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kFrame = 1460;

class TcpEdges : public VirtualNat {
 protected:
  Host host;
  Puppet guest{loop, port, *nat, host.port};
  std::vector<Seen> seen() {
    settle();
    std::vector<Seen> all;
    for (; !port.published.empty(); port.published.pop_front())
      all.push_back(take_apart(port.published.front()));
    return all;
  }
};

// RFC 5961, 3.2: the window ends before its edge, and only what lies in it is worth a challenge.
TEST_F(TcpEdges, ResetAtTheWindowsEdgeIsOutside) {
  ASSERT_TRUE(guest.connect());
  const Seq edge = kIss + 1 + 65535;  // as the SYN-ACK said
  guest.send_at(edge, kTcpRst);
  EXPECT_TRUE(seen().empty());
  guest.send_at(edge - 1, kTcpRst);
  EXPECT_EQ(seen().size(), 1U);
  EXPECT_EQ(counters().flows_open, 1U);
}

// RFC 9293, 3.10.7.4, fourth: in SYN-RECEIVED too a SYN that is not the first one again is challenged.
TEST_F(TcpEdges, OtherSynAfterTheSynAckIsChallenged) {
  guest.send_at(kIss, kTcpSyn);
  ASSERT_EQ(seen().size(), 1U);
  guest.send_at(kIss + 5000, kTcpSyn);
  const auto answer = seen();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].flags, kTcpAck);
  EXPECT_EQ(answer[0].ack, kIss + 1);
  EXPECT_EQ(counters()[DropReason::kUnexpectedSyn], 1U);
}

// RFC 9293, 3.10.7.1: the reset of what has no flow and acknowledges nothing acknowledges all of it.
TEST_F(TcpEdges, ResetAcknowledgesTheFinOfNoFlow) {
  guest.send_at(1000, kTcpFin, "abc");
  const auto answer = seen();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].flags, kTcpRst | kTcpAck);
  EXPECT_EQ(answer[0].seq, 0U);
  EXPECT_EQ(answer[0].ack, 1004U);
}

// A FIN behind bytes that the window has no room for has not come.
TEST_F(TcpEdges, FinBeyondTheWindowIsNotTaken) {
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const Seq edge = kIss + 1 + 65535;
  // In one burst: no acknowledgement moves the edge.
  const auto take = [&](Seq seq, std::uint8_t flags) {
    const auto frame = build_segment({.dst_port = host.port,
                                      .seq = seq,
                                      .ack = guest.rcv_nxt,
                                      .flags = flags,
                                      .payload = std::string(kFrame, 'a')});
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  };
  Seq last = guest.snd_nxt;
  for (; seq_le(last + kFrame, edge); last += kFrame)
    take(last, kTcpAck);
  take(last, kTcpAck | kTcpFin);
  const auto answer = seen();
  EXPECT_EQ(host.receive().size(), 65535U);
  EXPECT_FALSE(host.ended);
  ASSERT_FALSE(answer.empty());
  EXPECT_EQ(answer.back().ack, edge);
  EXPECT_EQ(counters()[DropReason::kOutOfWindow], 1U);
  take(last, kTcpAck | kTcpFin);  // again, whole
  settle();
  EXPECT_EQ(host.receive(), std::string(last + kFrame - edge, 'a'));
  EXPECT_TRUE(host.ended);
}

// RFC 9293, 3.8.4
TEST_F(TcpEdges, KeepaliveOfTheGuestIsAnswered) {
  ASSERT_TRUE(guest.connect());
  guest.send_at(guest.snd_nxt - 1, kTcpAck);
  const auto answer = seen();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].flags, kTcpAck);
  EXPECT_EQ(answer[0].ack, guest.snd_nxt);
}

// RFC 9293, 3.8.6.2.1: no slivers while a whole segment is outstanding.
TEST_F(TcpEdges, RestOfAWindowWaitsWhileSomethingIsOnItsWay) {
  port.offered.rx_tso4 = false;
  guest.window = kFrame + 500;
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  host.send(pattern(8 * kFrame));
  for (int round = 0; round < 3; ++round) {
    const auto frames = seen();
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].payload.size(), kFrame);
    EXPECT_EQ(frames[0].flags, kTcpAck | kTcpPsh);
    guest.rcv_nxt += kFrame;
    guest.acknowledge();
  }
}

// RFC 5961, 3: a guest believes the number that it expects next, whether or not it has acknowledged so far.
TEST_F(TcpEdges, ResetFollowsWhatIsOnItsWay) {
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  host.send("not acknowledged");
  guest.turn();
  ASSERT_EQ(guest.received, "not acknowledged");
  host.reset();
  const auto last = seen();
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].flags, kTcpRst | kTcpAck);
  EXPECT_EQ(last[0].seq, guest.rcv_nxt);
}

// RFC 6298, 5.5: 0, 0.5, 1.5, 3.5 and 7.5 seconds.
TEST_F(TcpEdges, SynAckIsRepeatedEverMoreSeldom) {
  guest.send_at(kIss, kTcpSyn);
  settle();
  pass(10 * kSecondNs);
  const auto repeated = seen();
  EXPECT_EQ(repeated.size(), 5U);
  for (const Seen& frame : repeated)
    EXPECT_EQ(frame.flags, kTcpSyn | kTcpAck);
}

// RFC 9293, 3.7.1: 536 where the guest names no size. One that would make a frame of every byte is not kept
// to.
TEST_F(TcpEdges, SegmentsAreOfTheGuestsSizeWithinReason) {
  port.offered.rx_tso4 = false;
  const std::vector<std::pair<std::vector<std::uint8_t>, std::size_t>> cases = {
      {{}, 536}, {{2, 4, 0, 1}, 64}, {{2, 4, 0, 100}, 100}, {{2, 4, 0xff, 0xff}, 1460}};
  std::uint16_t from = 41000;
  for (const auto& [options, expected] : cases) {
    ++from;
    inject({.guest_port = from, .dst_port = host.port, .seq = 1, .flags = kTcpSyn, .options = options});
    const auto syn_ack = seen();
    ASSERT_EQ(syn_ack.size(), 1U);
    ASSERT_TRUE(host.accept());
    host.send(pattern(2 * kFrame));
    std::size_t largest = 0;
    for (const Seen& frame : seen())
      largest = std::max(largest, frame.payload.size());
    EXPECT_EQ(largest, expected);
    inject({.guest_port = from, .dst_port = host.port, .seq = 2, .flags = kTcpRst});
  }
}

// Nobody listens at port 0 (RFC 6335, 6): the host is not asked.
TEST_F(TcpEdges, PortZeroIsRefused) {
  inject({.dst_port = 0, .seq = 7, .flags = kTcpSyn});
  const auto answer = seen();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].flags, kTcpRst | kTcpAck);
  EXPECT_EQ(answer[0].ack, 8U);
  EXPECT_EQ(counters()[RefuseReason::kBadDestination], 1U);
  EXPECT_EQ(counters().flows_opened, 0U);
}

}  // namespace
}  // namespace glassbox::net
