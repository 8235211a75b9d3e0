// Much data: windows, loss, receivers that do not read, buffers that run out.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

struct Shape {
  const char* name;
  bool csum;
  bool tso;
  std::size_t piece;
  std::uint16_t mtu;
  std::size_t out_frame;
};

class NatTransfer : public testing::TestWithParam<Shape> {};

TEST_P(NatTransfer, MegabytesEachWayArriveIntact) {
  const Shape& shape = GetParam();
  const std::string to_guest = pattern(5'000'000, 7);
  const std::string to_host = pattern(3'000'000, 9);
  std::promise<std::string> content;
  Server server([&](int fd) {
    std::thread writer([&] {
      write_all(fd, to_guest);
      ::shutdown(fd, SHUT_WR);
    });
    content.set_value(read_all(fd));
    writer.join();
  });
  Bench bench({.allow_host_loopback = true, .mtu = shape.mtu});
  bench.port.offered = {.rx_csum = shape.csum, .rx_tso4 = shape.tso, .rx_tso6 = false};
  bench.port.piece_bytes = shape.piece;
  GuestTcp guest(bench, server.port());
  guest.mss = static_cast<std::uint16_t>(shape.mtu - 40);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.send_all(to_host, shape.out_frame));
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_TRUE(guest.received == to_guest);
  EXPECT_TRUE(content.get_future().get() == to_host);
  EXPECT_EQ(bench.nat->counters().bytes_in, to_guest.size());
  EXPECT_EQ(bench.nat->counters().bytes_out, to_host.size());
  EXPECT_EQ(bench.nat->counters().retransmissions, 0U);
  EXPECT_EQ(guest.largest_payload > guest.mss, shape.tso);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NatTransfer,
                         testing::Values(Shape{"offloads", true, true, 1U << 17, 1500, 60'000},
                                         Shape{"small_pieces", true, true, 1500, 1500, 1460},
                                         Shape{"no_offloads", false, false, 1U << 17, 1500, 1460},
                                         Shape{"odd_pieces_software_checksum", false, false, 77, 1500, 999},
                                         Shape{"large_mtu", true, false, 1U << 17, 65520, 65000}),
                         [](const auto& shape) { return shape.param.name; });

TEST(NatTcp, GuestsZeroWindowHoldsTheServerAndUpdatesRelease) {
  const std::string data = pattern(200'000);
  Server server([&](int fd) { write_all(fd, data); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.window_bytes = 8192;
  guest.auto_ack = false;
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.received.size() >= 8192; }));
  guest.window_bytes = 0;
  guest.send_ack();
  bench.run_for_ms(50);
  guest.pump();
  const auto held = guest.received.size();
  EXPECT_LE(held, 2 * 8192U);  // the window of the SYN and that of the handshake's end
  bench.run_for_ms(50);
  guest.pump();
  EXPECT_EQ(guest.received.size(), held);
  // The update is "lost": a probe must come and its answer opens the window.
  guest.window_bytes = 1U << 20;
  guest.auto_ack = true;
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_TRUE(guest.received == data);
  guest.send(kTcpRst);
}

TEST(NatTcp, ServerThatDoesNotReadStopsTheGuestAndNothingIsLost) {
  std::promise<void> go;
  auto may_read = go.get_future().share();
  std::promise<std::string> content;
  Server server([&](int fd) {
    may_read.wait();
    content.set_value(read_all(fd));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return true; }));
  guest.send_ack();
  // As much as the NAT will take: the window reaches zero and stays there.
  std::string sent;
  for (int idle = 0; idle < 3;) {
    const std::uint32_t in_flight = guest.snd_nxt - guest.acked;
    if (guest.peer_window <= in_flight) {
      bench.run_for_ms(20);
      guest.pump();
      if (guest.peer_window <= guest.snd_nxt - guest.acked) ++idle;
      continue;
    }
    idle = 0;
    const auto n = std::min<std::size_t>(guest.peer_window - in_flight, 60'000);
    const std::string piece = pattern(n, static_cast<unsigned>(sent.size()));
    guest.send(kTcpAck, piece);
    sent += piece;
    bench.run_until([] { return true; });
    guest.pump();
  }
  EXPECT_EQ(guest.peer_window, 0U);
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  EXPECT_LT(sent.size(), 64U << 20);
  // Bytes beyond the window are not taken, and are answered; up to the unit of the window scale may be.
  const auto frames = guest.frames;
  guest.send_at(guest.snd_nxt, kTcpAck, std::string(1000, '!'));
  ASSERT_TRUE(guest.run_until([&] { return guest.frames > frames; }));
  const std::uint32_t taken = guest.acked - guest.snd_nxt;
  EXPECT_LT(taken, 128U);
  sent += std::string(taken, '!');
  guest.snd_nxt += taken;
  go.set_value();
  ASSERT_TRUE(guest.run_until([&] { return guest.peer_window > 0; }));  // window update, unasked
  const std::string rest = pattern(2'000'000, 5);
  ASSERT_TRUE(guest.send_all(rest, 60'000));
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  const std::string got = content.get_future().get();
  EXPECT_EQ(got.size(), sent.size() + rest.size());
  EXPECT_TRUE(got == sent + rest);
  EXPECT_EQ(bench.nat->counters()[DropReason::kNoBuffer], 0U);
}

TEST(NatTcp, GuestThatNeverAcknowledgesCostsBoundedMemoryAndGetsItAgain) {
  std::atomic<std::size_t> written{0};
  Server server([&](int fd) {
    const std::string block(65536, 'z');
    for (;;) {
      const ssize_t n = ::send(fd, block.data(), block.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      written += static_cast<std::size_t>(n);
    }
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.auto_ack = false;
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().retransmissions >= 2; }));
  EXPECT_GE(guest.received.size(), 65535U);
  EXPECT_LE(guest.received.size(), 65535U + (1U << 20));  // the windows and no more
  EXPECT_LT(written, 64U << 20);
  // Now it wakes up; nothing is missing or doubled.
  guest.auto_ack = true;
  guest.send_ack();
  ASSERT_TRUE(guest.run_until([&] { return guest.received.size() >= 5U << 20; }));
  EXPECT_TRUE(guest.received.find_first_not_of('z') == std::string::npos);
  guest.send(kTcpRst);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
}

// The guest loses frames: every seventh, then what follows until it is repeated.
TEST(NatTcp, LostFramesAreSentAgain) {
  const std::string data = pattern(600'000, 3);
  Server server([&](int fd) { write_all(fd, data); });
  for (const bool tso : {false, true}) {
    Bench bench;
    bench.port.offered.rx_tso4 = tso;
    GuestTcp guest(bench, server.port());
    guest.window_bytes = 65536;
    ASSERT_TRUE(guest.connect());
    std::size_t count = 0;
    ASSERT_TRUE(bench.run_until([&] {
      auto& frames = bench.port.published;
      for (std::size_t i = 0; i < frames.size();) {
        if (frames[i].bytes.size() > 60 && ++count % 37 == 5) {
          frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
          ++i;
        }
      }
      guest.pump();
      return guest.fin_received;
    }));
    EXPECT_TRUE(guest.received == data) << guest.received.size();
    EXPECT_GE(bench.nat->counters().retransmissions, 1U);
    guest.send(kTcpAck | kTcpFin);
    ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  }
}

TEST(NatTcp, LostSynAckAndLostFinAreSentAgain) {
  Server server([](int) {});
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.auto_ack = false;
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked && guest.fin_received; }));
  guest.syn_acked = false;
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  const auto frames = guest.frames;
  --guest.rcv_nxt;  // as if the FIN had not come
  guest.rcv_nxt = guest.syn_ack.seq + 1;
  guest.fin_received = false;
  guest.send_ack();
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_GT(guest.frames, frames);
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
}

TEST(NatTcp, NoReceiveBuffersDelayButLoseNothing) {
  const std::string data = pattern(300'000, 11);
  Server server([&](int fd) {
    read_some(fd, 4);
    write_all(fd, data);
  });
  Bench bench;
  bench.port.largest = 4096;  // a guest without room for large frames
  bench.port.frames_left = 0;
  GuestTcp guest(bench, server.port());
  guest.send_syn();
  bench.run_for_ms(20);
  EXPECT_TRUE(bench.quiet());
  bench.port.give_buffers(1);
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  guest.send(kTcpAck, "send");
  std::size_t rounds = 0;
  while (!guest.fin_received && ++rounds < 10'000'000) {  // the server may wait for the processor
    bench.port.give_buffers(3);
    ASSERT_TRUE(bench.run_until([] { return true; }));
    guest.pump();
  }
  EXPECT_TRUE(guest.received == data);
  EXPECT_GT(bench.port.reserve_refused, 0U);
  guest.send(kTcpRst);
}

}  // namespace
}  // namespace glassbox::net
