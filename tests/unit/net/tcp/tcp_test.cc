// One connection at a time through the NAT, against real sockets: how it opens and how it ends.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "tests/unit/net/test_guest.h"

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

}  // namespace
}  // namespace glassbox::net
