// Rules of RFC 9293, 5961 and 7323 that matter only with a hostile or unlucky guest.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>
#include <utility>

#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

void turn(Bench& bench) {
  ASSERT_TRUE(bench.run_until([] { return true; }));
}

TEST(NatTcpRules, RepeatedSynIsAnsweredAtOnce) {
  Server server([](int fd) { read_all(fd); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  guest.syn_acked = false;
  guest.send_syn();
  turn(bench);  // and not when the SYN-ACK is sent again for want of an acknowledgement
  guest.pump();
  EXPECT_TRUE(guest.syn_acked);
  guest.send(kTcpRst);
}

// RFC 9293, 3.10.7.4, fifth: what acknowledges something else than our SYN-ACK is reset, and opens nothing.
TEST(NatTcpRules, WrongAcknowledgementOfTheSynAckOpensNothing) {
  Server server([](int fd) {
    write_all(fd, "hello");
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.auto_ack = false;
  guest.window_bytes = 0;  // so that nothing of the server's is acknowledgeable yet
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  const Seq right = guest.rcv_nxt;
  for (const Seq wrong : {right - 1, right + 1000}) {
    guest.reset_received = false;
    guest.rcv_nxt = wrong;
    guest.send_at(guest.snd_nxt, kTcpAck, "payload");
    turn(bench);
    guest.pump();
    EXPECT_TRUE(guest.reset_received) << wrong - right;
    EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  }
  EXPECT_EQ(bench.nat->counters()[DropReason::kNoFlow], 2U);
  guest.rcv_nxt = right;
  guest.window_bytes = 65535;
  guest.send_ack();
  EXPECT_TRUE(guest.run_until([&] { return guest.received == "hello"; }));
  guest.send(kTcpRst);
}

// RFC 7323, 2.3: 14 at most, whatever the option says.
TEST(NatTcpRules, WindowIsScaledByFourteenAtMost) {
  Server server([](int fd) {
    write_all(fd, pattern(100'000));
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.offer_scale = 20;
  guest.window_bytes = 1U << 14;  // 1 on the wire
  guest.auto_ack = false;
  ASSERT_TRUE(guest.connect());
  const std::size_t acknowledged = guest.received.size();  // what came with the SYN-ACK
  ASSERT_TRUE(guest.run_until([&] { return guest.received.size() >= acknowledged + 10'000; }));
  bench.run_for_ms(20);
  guest.pump();
  EXPECT_LE(guest.received.size(), acknowledged + guest.window_bytes);
  guest.send(kTcpRst);
}

TEST(NatTcpRules, PayloadAfterAFinIsDroppedAndTheFlowGoesOn) {
  std::promise<void> go;
  auto may_write = go.get_future().share();
  Server server([&](int fd) {
    read_all(fd);
    may_write.wait();
    write_all(fd, "answer");
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return guest.acked == guest.snd_nxt; }));
  guest.send_at(guest.snd_nxt, kTcpAck, "more");
  turn(bench);
  EXPECT_EQ(bench.nat->counters()[DropReason::kOutOfWindow], 1U);
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  go.set_value();
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received || guest.reset_received; }));
  EXPECT_EQ(guest.received, "answer");
  EXPECT_FALSE(guest.reset_received);
}

// A window from a sequence number beyond the offered window must not count: it would shut the flow for good,
// since all later segments would look older.
TEST(NatTcpRules, WindowOfASegmentOutsideTheWindowIsNotBelieved) {
  std::promise<void> go;
  auto may_write = go.get_future().share();
  const std::string data = pattern(100'000);
  Server server([&](int fd) {
    may_write.wait();
    write_all(fd, data);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  turn(bench);
  const std::uint32_t window = std::exchange(guest.window_bytes, 0U);
  guest.send_at(guest.snd_nxt + (1U << 23), kTcpAck);
  guest.window_bytes = window;
  go.set_value();
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_TRUE(guest.received == data);
  EXPECT_EQ(bench.nat->counters().retransmissions, 0U);
  guest.send(kTcpRst);
}

// RFC 9293, 3.10.7.4: SND.WL1 and SND.WL2 tell an old update from a new one.
TEST(NatTcpRules, WindowOfAnOldSegmentIsNotBelieved) {
  std::promise<void> go;
  auto may_write = go.get_future().share();
  Server server([&](int fd) {
    may_write.wait();
    write_all(fd, "data");
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  const std::uint32_t window = std::exchange(guest.window_bytes, 0U);
  guest.send(kTcpAck, "x");
  guest.window_bytes = window;
  guest.send_at(guest.snd_nxt - 2, kTcpAck);  // it was sent before the window was shut
  go.set_value();
  bench.run_for_ms(50);
  guest.auto_ack = false;  // an answer would be a window update
  guest.pump();
  EXPECT_EQ(guest.received, "");
  guest.send_ack();
  EXPECT_TRUE(guest.run_until([&] { return guest.received == "data"; }));
  guest.send(kTcpRst);
}

// The flow stays until its last acknowledgement was sent. Otherwise the guest would repeat its FIN and meet
// no flow.
TEST(NatTcpRules, LastAcknowledgementWaitsForAReceiveBuffer) {
  Server server([](int) {});
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  bench.port.frames_left = 0;
  guest.send(kTcpAck | kTcpFin);
  turn(bench);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  bench.port.give_buffers(100);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  guest.pump();
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  EXPECT_FALSE(guest.reset_received);
}

}  // namespace
}  // namespace glassbox::net
