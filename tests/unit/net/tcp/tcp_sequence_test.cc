// Segments that do not fit: sequence checks, resets, options (RFC 9293, RFC 5961, RFC 7323).
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "net/host/socket_address.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

// A connection to a server that reads to the end of it.
class OpenTcp : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(guest.connect());
    bench.run_until([] { return true; });
    guest.pump();
  }
  std::promise<std::string> content;  // what the server read
  Server server{[this](int fd) { content.set_value(read_all(fd)); }};
  Bench bench;
  GuestTcp guest{bench, server.port()};
};

TEST_F(OpenTcp, ResetElsewhereInTheWindowIsChallenged) {
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
  FullListener() {
    const SocketAddress address(IpAddress::from_v4(INADDR_LOOPBACK), port());
    for (UniqueFd& fd : filler_) {
      fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (::connect(fd.get(), address.get(), address.length()) != 0) {
        EXPECT_EQ(errno, EINPROGRESS);
      }
    }
  }
  UniqueFd accept() { return UniqueFd(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }

 private:
  Listener listener_ = listen_on_loopback(0);
  std::array<UniqueFd, 4> filler_;
};

TEST(NatTcp, WhileTheHostIsBeingConnectedSynsAreOneFlow) {
  FullListener listener;
  Bench bench;
  GuestTcp guest(bench, listener.port());
  guest.send_syn();
  guest.send_syn();
  EXPECT_EQ(bench.nat->counters().flows_connecting, 1U);
  EXPECT_EQ(bench.nat->counters()[DropReason::kDuplicate], 1U);
  guest.iss += 5000;  // the guest gave up and opens a new connection from the same port
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
  GuestTcp guest(bench, listener.port());
  guest.send_syn();
  guest.send_at(guest.iss + 77, kTcpRst);  // not at the expected number
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(kTcpRst);
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
  EXPECT_EQ(bench.nat->counters()[CloseReason::kGuestReset], 1U);
}

TEST_F(OpenTcp, SynOnAnOpenFlowIsChallenged) {
  const auto frames = guest.frames;
  guest.auto_ack = false;
  guest.send_at(12345, kTcpSyn);
  ASSERT_TRUE(guest.run_until([&] { return guest.frames == frames + 1; }));
  EXPECT_EQ(bench.nat->counters()[DropReason::kUnexpectedSyn], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(kTcpRst);
}

TEST_F(OpenTcp, DuplicateSegmentIsDeliveredOnce) {
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

TEST_F(OpenTcp, SegmentAfterAGapIsNotDelivered) {
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

TEST_F(OpenTcp, AcknowledgementOfNothingSentIsNotTaken) {
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
