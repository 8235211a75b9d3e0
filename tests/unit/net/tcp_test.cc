// One connection at a time through the NAT, against real sockets: what a guest must see.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "test_guest.h"

namespace glassbox::net {
namespace {

void echo(int fd) {
  const std::string request = read_some(fd, 1);
  write_all(fd, request);
}

TEST(NatTcp, ConnectRequestResponseCycle) {
  Server server(echo);
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpPsh, "A");
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_EQ(guest.received, "A");
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  EXPECT_EQ(bench.nat->counters()[CloseReason::kFinished], 1U);
  EXPECT_EQ(bench.nat->counters().bytes_in, 1U);
  EXPECT_EQ(bench.nat->counters().bytes_out, 1U);
}

TEST(NatTcp, GuestEndsFirstAsNcDoes) {
  Server server([](int fd) { write_all(fd, "got " + read_all(fd)); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpPsh | kTcpFin, "request");
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_EQ(guest.received, "got request");
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(guest.acked, guest.snd_nxt);
  EXPECT_FALSE(guest.reset_received);
}

TEST(NatTcp, LastPayloadCarriesTheFin) {
  std::promise<void> closed;
  Server server([&](int fd) {
    write_all(fd, "bye");
    ::shutdown(fd, SHUT_WR);
    closed.set_value();
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.send_syn();
  bench.run_until([&] { return server.accepted() == 1; });
  closed.get_future().wait();
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_EQ(guest.received, "bye");
  EXPECT_LE(guest.frames, 3U);  // SYN-ACK and at most two more
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
}

TEST(NatTcp, ServerSpeaksFirstBeforeTheHandshakeIsAcknowledged) {
  Server server([](int fd) {
    write_all(fd, "220 hello\r\n");
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.auto_ack = false;
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.received == "220 hello\r\n"; }));
  guest.send_ack();
  guest.send(kTcpAck | kTcpFin);
  guest.auto_ack = true;
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
}

TEST(NatTcp, ConnectionRefusedIsAReset) {
  Bench bench;
  GuestTcp guest(bench, closed_port());
  EXPECT_FALSE(guest.connect());
  EXPECT_TRUE(guest.reset_received);
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kConnectionRefused], 1U);
  EXPECT_EQ(bench.nat->counters()[CloseReason::kConnectFailed], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
}

TEST(NatTcp, ServerClosesAtOnce) {
  Server server([](int) {});
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(bench.nat->counters()[CloseReason::kFinished], 1U);
}

TEST(NatTcp, ServerResetReachesTheGuest) {
  Server server([](int fd) {
    read_some(fd, 1);
    const linger abort{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpPsh, "x");
  ASSERT_TRUE(guest.run_until([&] { return guest.reset_received; }));
  EXPECT_EQ(bench.nat->counters()[CloseReason::kHostReset], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
}

TEST(NatTcp, ResetAfterTheServersFinReachesTheGuest) {
  std::promise<void> go;
  auto may_close = go.get_future().share();
  Server server([&](int fd) {
    ::shutdown(fd, SHUT_WR);
    may_close.wait();
    const linger abort{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  go.set_value();
  ASSERT_TRUE(guest.run_until([&] { return guest.reset_received; }));
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
}

TEST(NatTcp, GuestResetReachesTheServer) {
  std::promise<int> result;
  Server server([&](int fd) {
    char byte = 0;
    result.set_value(::recv(fd, &byte, 1, 0) < 0 ? errno : 0);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpRst);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(result.get_future().get(), ECONNRESET);
  EXPECT_EQ(bench.nat->counters()[CloseReason::kGuestReset], 1U);
}

TEST(NatTcp, ResetElsewhereInTheWindowIsChallenged) {
  Server server([](int fd) { read_all(fd); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  bench.run_until([] { return true; });
  guest.pump();
  guest.auto_ack = false;
  const auto frames = guest.frames;
  guest.send_at(guest.snd_nxt + 100, kTcpRst);
  ASSERT_TRUE(guest.run_until([&] { return guest.frames == frames + 1; }));
  EXPECT_FALSE(guest.reset_received);
  guest.send_at(guest.snd_nxt + (1U << 30), kTcpRst);  // far outside: silently dropped
  bench.run_until([] { return true; });
  guest.pump();
  EXPECT_EQ(guest.frames, frames + 1);
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadReset], 2U);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(kTcpRst);
}

TEST(NatTcp, RepeatedSynOpensOneSocket) {
  Server server([](int fd) { read_all(fd); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.send_syn();
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  guest.send_syn();
  guest.syn_acked = false;
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  EXPECT_EQ(bench.nat->counters().flows_opened, 1U);
  guest.send_ack();
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(server.accepted(), 1);
}

// A listener whose queue is full drops SYNs, so the host's connect() stays in progress until it has room
// again.
class FullListener {
 public:
  FullListener() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), name, sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 0), 0);
    EXPECT_EQ(::getsockname(listener_.get(), name, &length), 0);
    port = ntohs(address.sin_port);
    for (UniqueFd& fd : filler_) {
      fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      [[maybe_unused]] const int result = ::connect(fd.get(), name, sizeof(address));
    }
  }
  UniqueFd accept() { return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  std::uint16_t port = 0;

 private:
  UniqueFd listener_;
  std::array<UniqueFd, 4> filler_;
};

TEST(NatTcp, WhileTheHostIsBeingConnectedSynsAreOneFlow) {
  FullListener listener;
  Bench bench;
  GuestTcp guest(bench, listener.port);
  guest.send_syn();
  guest.send_syn();
  EXPECT_EQ(bench.nat->counters().flows_connecting, 1U);
  EXPECT_EQ(bench.nat->counters()[DropReason::kDuplicate], 1U);
  guest.iss += 5000;  // the guest gave up and begins anew from the same port
  guest.send_syn();
  bench.run_for_ms(20);
  EXPECT_TRUE(bench.quiet());  // connect first, then SYN-ACK
  EXPECT_EQ(bench.nat->counters().flows_opened, 1U);
  const UniqueFd first = listener.accept();
  const UniqueFd second = listener.accept();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));  // when the kernel repeats its own SYN
  EXPECT_EQ(guest.acked, guest.iss + 1);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
  guest.send(kTcpRst);
}

TEST(NatTcp, ResetWhileTheHostIsBeingConnectedEndsTheFlow) {
  FullListener listener;
  Bench bench;
  GuestTcp guest(bench, listener.port);
  guest.send_syn();
  guest.send_at(guest.iss + 77, kTcpRst);  // not at the expected number
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(kTcpRst);
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
  EXPECT_EQ(bench.nat->counters()[CloseReason::kGuestReset], 1U);
}

TEST(NatTcp, SynOnAnOpenFlowIsChallenged) {
  Server server([](int fd) { read_all(fd); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  bench.run_until([] { return true; });
  guest.pump();
  const auto frames = guest.frames;
  guest.auto_ack = false;
  guest.send_at(12345, kTcpSyn);
  ASSERT_TRUE(guest.run_until([&] { return guest.frames == frames + 1; }));
  EXPECT_EQ(bench.nat->counters()[DropReason::kUnexpectedSyn], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(kTcpRst);
}

TEST(NatTcp, DuplicateSegmentIsDeliveredOnce) {
  std::promise<std::string> content;
  Server server([&](int fd) { content.set_value(read_all(fd)); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  const Seq start = guest.snd_nxt;
  guest.send(kTcpAck, "hello ");
  guest.send_at(start, kTcpAck, "hello ");
  guest.send_at(start, kTcpAck, "hello world");  // the overlap is trimmed
  guest.snd_nxt = start + 11;
  guest.send(kTcpAck | kTcpFin);
  guest.send_at(guest.snd_nxt - 1, kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(content.get_future().get(), "hello world");
}

TEST(NatTcp, SegmentAfterAGapIsNotDelivered) {
  std::promise<std::string> content;
  Server server([&](int fd) { content.set_value(read_all(fd)); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  const Seq start = guest.snd_nxt;
  guest.send_at(start + 3, kTcpAck, "def");
  ASSERT_TRUE(guest.run_until([&] { return guest.acked == start && guest.frames >= 2; }));
  guest.send_at(start + 3, kTcpAck | kTcpFin, "def");
  guest.send_at(start, kTcpAck, "abc");
  ASSERT_TRUE(guest.run_until([&] { return guest.acked == start + 3; }));
  guest.send_at(start + 3, kTcpAck | kTcpFin, "def");
  ASSERT_TRUE(guest.run_until([&] { return guest.acked == start + 7; }));
  guest.snd_nxt = start + 7;
  EXPECT_EQ(content.get_future().get(), "abcdef");
  EXPECT_EQ(bench.nat->counters()[DropReason::kOutOfOrder], 2U);
}

TEST(NatTcp, DataWithFinIsAcknowledgedWhole) {
  Server server([](int fd) {
    read_all(fd);
    write_all(fd, "ok");
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpPsh | kTcpFin, std::string(1000, 'x'));
  ASSERT_TRUE(guest.run_until([&] { return guest.acked == guest.snd_nxt && guest.fin_received; }));
  EXPECT_EQ(guest.received, "ok");
}

TEST(NatTcp, HalfCloseByTheServerLeavesTheGuestItsDirection) {
  std::promise<std::string> content;
  Server server([&](int fd) {
    write_all(fd, "first");
    ::shutdown(fd, SHUT_WR);
    content.set_value(read_all(fd));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  const std::string data = pattern(300'000);
  ASSERT_TRUE(guest.send_all(data));
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_TRUE(content.get_future().get() == data);
}

TEST(NatTcp, SimultaneousClose) {
  std::promise<void> go;
  auto may_close = go.get_future().share();
  Server server([&](int) { may_close.wait(); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  bench.run_until([] { return true; });
  guest.auto_ack = false;
  go.set_value();
  // The guest's FIN leaves before it has seen ours.
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received && guest.acked == guest.snd_nxt; }));
  guest.send_ack();
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(bench.nat->counters()[CloseReason::kFinished], 1U);
}

TEST(NatTcp, HalfClosedFlowDoesNotSpin) {
  Server server([](int fd) {
    ::shutdown(fd, SHUT_WR);
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  int turns = 0;
  bench.loop->at_turn_end([&] { ++turns; });
  bench.run_for_ms(300);
  EXPECT_LE(turns, 4);  // the post, the alarm, a timer
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
}

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

TEST(NatTcp, WindowScaleNotOffered) {
  const std::string data = pattern(400'000);
  std::promise<std::string> content;
  Server server([&](int fd) {
    write_all(fd, data);
    ::shutdown(fd, SHUT_WR);
    content.set_value(read_all(fd));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.offer_scale.reset();
  guest.window_bytes = 30'000;
  ASSERT_TRUE(guest.connect());
  EXPECT_EQ(guest.syn_ack.options.size(), 4U);  // MSS alone
  ASSERT_TRUE(guest.send_all(data));
  EXPECT_LE(guest.peer_window, 65535U);
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_TRUE(guest.received == data);
  EXPECT_TRUE(content.get_future().get() == data);
}

TEST(NatTcp, ScaleAboveFourteenIsFourteen) {
  Server server([](int fd) {
    write_all(fd, "data");
    read_all(fd);
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  guest.offer_scale = 120;
  guest.auto_ack = false;
  guest.send_syn();
  ASSERT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
  ASSERT_TRUE(guest.run_until([&] { return guest.received == "data"; }));
  guest.send(kTcpRst);
}

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

TEST(NatTcp, UrgentDataIsOrdinaryDataBothWays) {
  std::promise<std::string> content;
  Server server([&](int fd) {
    write_all(fd, "ab");
    ::send(fd, "C", 1, MSG_OOB | MSG_NOSIGNAL);
    write_all(fd, "de");
    ::shutdown(fd, SHUT_WR);
    content.set_value(read_all(fd));
  });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_EQ(guest.received, "abCde");
  SegmentSpec spec{.dst_port = server.port(), .seq = guest.snd_nxt, .ack = guest.rcv_nxt};
  spec.flags = kTcpAck | 0x20;
  spec.urgent = 2;
  spec.payload = "urgent";
  bench.inject(build_segment(spec));
  guest.snd_nxt += 6;
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(content.get_future().get(), "urgent");
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

TEST(NatTcp, AcknowledgementOfNothingSentIsNotTaken) {
  Server server([](int fd) { read_all(fd); });
  Bench bench;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  guest.rcv_nxt += 1000;
  guest.send(kTcpAck, "x");
  bench.run_until([] { return true; });
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadAck], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.rcv_nxt -= 1000;
  guest.send_at(guest.snd_nxt - 1, kTcpRst);
}

TEST(NatTcp, SegmentOfNoFlowIsReset) {
  Bench bench;
  GuestTcp guest(bench, 81);
  guest.rcv_nxt = 77;
  guest.snd_nxt = 1000;
  guest.send(kTcpAck, "data");
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->flags, kTcpRst);
  EXPECT_EQ(seen->seq, 77U);
  guest.send(kTcpRst);  // a reset is never answered
  bench.run_until([] { return true; });
  EXPECT_TRUE(bench.quiet());
}

}  // namespace
}  // namespace glassbox::net
