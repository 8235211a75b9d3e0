// When a SYN-ACK or FIN is marked as one that the guest answers with a bare ACK, and when not.
#include "net/tcp/bare_ack_predictor.h"

#include <gtest/gtest.h>

#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

class BareAckPredictorTest : public testing::Test {
 protected:
  // Opens a connection. Returns whether a bare ACK was predicted for its SYN-ACK.
  bool expected(bool answers_bare = true) {
    GuestTcp guest(bench_, server_.port(), ++guest_port_);
    guest.auto_ack = false;
    guest.send_syn();
    EXPECT_TRUE(guest.run_until([&] { return guest.syn_acked; }));
    const bool marked = bench_.port.last.expects_bare_ack;
    EXPECT_EQ(bench_.port.last.tcp_flags, kTcpSyn | kTcpAck);
    if (answers_bare) {
      guest.send_ack();
    } else {
      guest.send(kTcpAck | kTcpPsh, "request");
    }
    guest.send_at(guest.snd_nxt, kTcpRst | kTcpAck);
    return marked;
  }
  void see_many() {
    for (std::uint32_t i = 0; i < BareAckPredictor::kSure; ++i)
      EXPECT_FALSE(expected()) << i;
  }

  Server server_{[](int fd) { read_all(fd); }};
  Bench bench_;
  std::uint16_t guest_port_ = 40000;
};

TEST_F(BareAckPredictorTest, IsExpectedAfterManyInARow) {
  see_many();
  EXPECT_TRUE(expected());
  EXPECT_TRUE(expected());
}

TEST_F(BareAckPredictorTest, ARequestThatComesWithTheAckStartsTheCountAgain) {
  see_many();
  EXPECT_TRUE(expected(false));
  see_many();
  EXPECT_TRUE(expected());
}

// A FIN that comes after the guest's own can only be acknowledged.
TEST_F(BareAckPredictorTest, TheLastFinIsAnsweredByABareAck) {
  GuestTcp guest(bench_, server_.port(), ++guest_port_);
  ASSERT_TRUE(guest.connect());
  guest.send(kTcpAck | kTcpFin);
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_TRUE(bench_.port.last.expects_bare_ack);
}

// After the first FIN the guest's program may still send data, or close, and the peer waits for that.
TEST_F(BareAckPredictorTest, TheFirstFinIsNot) {
  Server closes([](int) {});
  see_many();
  GuestTcp guest(bench_, closes.port(), ++guest_port_);
  ASSERT_TRUE(guest.connect());
  ASSERT_TRUE(guest.run_until([&] { return guest.fin_received; }));
  EXPECT_NE(bench_.port.last.tcp_flags & kTcpFin, 0);
  EXPECT_FALSE(bench_.port.last.expects_bare_ack);
}

}  // namespace
}  // namespace glassbox::net
