// Loss of frames for the guest, on virtual time: which frames are repeated, which are not, and when (RFC
// 5681, RFC 6582).
#include "puppet.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kFrame = 1460;
constexpr std::uint32_t kFrames = 8;

class TcpRecovery : public VirtualNat {
 protected:
  // Eight frames on their way to a guest that acknowledges nothing yet.
  void SetUp() override {
    port.offered.rx_tso4 = false;
    ASSERT_TRUE(guest.connect());
    ASSERT_TRUE(host.accept());
    start = guest.rcv_nxt;
    ASSERT_EQ(host.send(pattern(kFrames * kFrame)), kFrames * kFrame);
    settle();
    ASSERT_EQ(sent().size(), kFrames);
  }
  // Which frames of the eight were sent since, by number.
  std::vector<std::uint32_t> sent() {
    std::vector<std::uint32_t> numbers;
    settle();
    for (; !port.published.empty(); port.published.pop_front()) {
      const Seen seen = take_apart(port.published.front());
      if (!seen.payload.empty()) numbers.push_back((seen.seq - start) / kFrame);
    }
    return numbers;
  }
  // The guest acknowledges this many frames.
  void acknowledge(std::uint32_t frames) {
    guest.rcv_nxt = start + frames * kFrame;
    guest.acknowledge();
  }
  using Numbers = std::vector<std::uint32_t>;
  Host host;
  Puppet guest{loop, port, *nat, host.port};
  Seq start = 0;
};

TEST_F(TcpRecovery, AfterATimeOutOneFrameUntilItIsAcknowledgedThenEachOnce) {
  pass(kSecondNs * 6 / 10);
  EXPECT_EQ(sent(), Numbers{0});
  // Duplicates that frames from before the time-out cause do not mean a loss (RFC 6582, 4.1).
  for (int i = 0; i < 4; ++i)
    acknowledge(0);
  EXPECT_EQ(sent(), Numbers{});
  acknowledge(1);
  EXPECT_EQ(sent(), (Numbers{1, 2, 3, 4, 5, 6, 7}));
  acknowledge(kFrames);
  pass(60 * kSecondNs);
  EXPECT_EQ(sent(), Numbers{});
}

TEST_F(TcpRecovery, DuplicatesFromBeforeAnAcknowledgementOfMoreDoNotCount) {
  acknowledge(0);
  acknowledge(0);
  acknowledge(1);
  acknowledge(1);
  acknowledge(1);
  EXPECT_EQ(sent(), Numbers{});
  acknowledge(1);
  EXPECT_EQ(sent(), Numbers{1});
}

// RFC 6582, 3.2: a partial acknowledgement brings the next hole, and what was on its way before brings
// nothing twice.
TEST_F(TcpRecovery, EachHoleIsFilledOnce) {
  for (int i = 0; i < 3; ++i)
    acknowledge(0);
  EXPECT_EQ(sent(), Numbers{0});
  acknowledge(2);
  EXPECT_EQ(sent(), Numbers{2});
  for (int i = 0; i < 5; ++i)
    acknowledge(2);
  EXPECT_EQ(sent(), Numbers{});
  acknowledge(kFrames);
  EXPECT_EQ(sent(), Numbers{});
  EXPECT_EQ(counters().retransmissions, 2U);
}

// A guest that has shut its window gets no payload, however many duplicate acknowledgements it sends.
TEST_F(TcpRecovery, NothingIsSentAgainIntoAClosedWindow) {
  for (int i = 0; i < 3; ++i)
    acknowledge(0);
  EXPECT_EQ(sent(), Numbers{0});
  guest.window = 0;
  acknowledge(2);  // a hole
  for (int i = 0; i < 5; ++i)
    acknowledge(2);
  EXPECT_EQ(sent(), Numbers{});
  pass(kSecondNs * 6 / 10);
  EXPECT_EQ(sent(), Numbers{});
  guest.window = 65535;
  acknowledge(2);
  pass(kSecondNs);
  const auto again = sent();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again.front(), 2U);
}

}  // namespace
}  // namespace glassbox::net
