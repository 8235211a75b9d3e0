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

// The guest may well know our next SYN-ACK's number: from the connection before, at the same time and on the
// same ports (RFC 6528). Until that is on its way it has nothing to acknowledge.
TEST_F(TcpEdges, SynAckIsNotAcknowledgedBeforeItIsSent) {
  guest.send_at(kIss, kTcpSyn);
  const auto before = seen();
  ASSERT_EQ(before.size(), 1U);
  guest.send_at(kIss + 1, kTcpRst);
  ASSERT_EQ(counters().flows_open, 0U);

  port.frames_left = 0;
  guest.send_at(kIss, kTcpSyn);
  settle();
  ASSERT_EQ(counters().flows_connecting, 0U) << "the host is connected";
  guest.rcv_nxt = before[0].seq + 1;
  guest.acknowledge();
  EXPECT_EQ(counters()[DropReason::kNoFlow], 1U) << "a reset was due, and had no buffer";
  port.give_buffers(~std::size_t{0});
  const auto now = seen();
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now[0].flags, kTcpSyn | kTcpAck);
  ASSERT_EQ(now[0].seq, before[0].seq) << "or the guess was none";
  guest.acknowledge();
  EXPECT_EQ(counters().flows_open, 1U);
  EXPECT_EQ(counters()[DropReason::kNoFlow], 1U);
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
  SegmentSpec next{.dst_port = host.port,
                   .seq = guest.snd_nxt,
                   .ack = guest.rcv_nxt,
                   .flags = kTcpAck,
                   .payload = std::string(kFrame, 'a')};
  for (; seq_le(next.seq + kFrame, edge); next.seq += kFrame)
    take(next);  // in one burst: no acknowledgement moves the edge
  next.flags |= kTcpFin;
  take(next);
  const auto answer = seen();
  EXPECT_EQ(host.receive().size(), 65535U);
  EXPECT_FALSE(host.ended);
  ASSERT_FALSE(answer.empty());
  EXPECT_EQ(answer.back().ack, edge);
  EXPECT_EQ(counters()[DropReason::kOutOfWindow], 1U);
  take(next);  // again, whole
  settle();
  EXPECT_EQ(host.receive(), std::string(next.seq + kFrame - edge, 'a'));
  EXPECT_TRUE(host.ended);
}

// The window is full to the last byte, and the FIN comes with that byte: what the guest says after it of its
// own window still counts.
TEST_F(TcpEdges, WindowOfAGuestWhoseFinLiesAtTheEdgeIsBelieved) {
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string half(32768, 'h');
  const auto first = build_segment(
      {.dst_port = host.port, .seq = guest.snd_nxt, .ack = guest.rcv_nxt, .flags = kTcpAck, .payload = half});
  const iovec piece{const_cast<std::uint8_t*>(first.data()), first.size()};
  nat->on_guest_frame(std::span(&piece, 1), {}, 0);  // the burst goes on: no acknowledgement moves the edge
  guest.snd_nxt += static_cast<Seq>(half.size());
  guest.window = 0;
  guest.send(kTcpAck | kTcpFin, half.substr(1));
  guest.turn();
  EXPECT_EQ(host.receive().size(), 65535U);
  ASSERT_TRUE(host.ended);
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  host.send("the answer");
  guest.turn();
  EXPECT_EQ(guest.received, "") << "its window is shut";
  guest.window = 4;
  guest.acknowledge();
  guest.turn();
  EXPECT_EQ(guest.received, "the ");
  guest.window = 65535;
  guest.acknowledge();
  guest.turn();
  EXPECT_EQ(guest.received, "the answer");
}

// A read ends before an urgent byte (tcp(7)), one that throws away too: what the guest has acknowledged goes
// whole, or the socket is never empty and the flow never done.
TEST_F(TcpEdges, UrgentByteInWhatIsDiscardedHoldsNothingBack) {
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(host.accept());
  const std::string data = pattern(30'000);  // more than is kept as a copy
  ASSERT_EQ(host.send(data), data.size());
  guest.turn();
  ASSERT_EQ(::send(host.fd.get(), "U", 1, MSG_OOB | MSG_NOSIGNAL), 1);
  host.send("behind it");
  guest.turn();
  host.fd.reset();
  guest.turn();
  ASSERT_TRUE(guest.received == data + "Ubehind it");
  ASSERT_TRUE(guest.fin);
  guest.send(kTcpAck | kTcpFin);
  guest.turn();
  EXPECT_EQ(counters().flows_open, 0U);
  EXPECT_EQ(counters()[CloseReason::kFinished], 1U);
  EXPECT_EQ(loop.watched(), watched_at_start);
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
