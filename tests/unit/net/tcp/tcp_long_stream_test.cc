// Streams longer than the space of sequence numbers. Every number that is compared with another must stay
// within 2 GiB of it, or it seems to lie ahead once it is far behind. Each case runs over more than 5 GiB
// from several initial numbers; nothing is copied, so that takes no time.
#include <gtest/gtest.h>

#include "net/tcp/tcp_receive.h"
#include "net/tcp/tcp_send.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kLongBytes = 5ULL << 30;
constexpr std::uint32_t kStepBytes = 1U << 20;
constexpr std::uint32_t kLongMss = 1460;
constexpr std::uint64_t kAnyNs = 1'000'000'000;
constexpr Seq kGuestInitial = 77;

class TcpLongStream : public testing::TestWithParam<Seq> {
 public:
  TcpLongStream() {
    TcpHeader syn;
    syn.seq = kGuestInitial;
    syn.window = 65535;
    syn.mss = kLongMss;
    syn.scale = 7;
    send_.begin(GetParam());
    send_.take_syn(syn, kLongMss);
    send_.timer.start(kAnyNs);
    send_.open(kAnyNs);
    receive_.take_syn(kGuestInitial, true);
  }
  // One window's worth goes to the guest, which acknowledges it in order.
  void send_step() {
    const Seq middle = send_.next() + kStepBytes / 2;
    send_.sent(kStepBytes);
    send_.taken_from_socket(kStepBytes);
    acknowledge(middle);
    ASSERT_FALSE(send_.has_hole()) << "after " << send_.bytes() << " bytes: nothing was lost";
    acknowledge(send_.max());
    ASSERT_FALSE(send_.outstanding());
  }
  void acknowledge(Seq ack) {
    send_.take_window(receive_.next(), ack, 8192);
    send_.acknowledge(pool_, ack, kAnyNs);
  }
  void offer() {
    (void)receive_.offer_window(kLongMss, false, [] { return std::optional<std::uint32_t>(1U << 20); });
    receive_.ack_sent();
  }

 protected:
  ChunkPool pool_ = std::move(*ChunkPool::create(4));
  TcpSend send_;
  TcpReceive receive_;
};

TEST_P(TcpLongStream, NothingIsTakenForLostTowardsTheGuest) {
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes)
    ASSERT_NO_FATAL_FAILURE(send_step());
}

TEST_P(TcpLongStream, ALossIsSeenWhereverInTheStreamItIs) {
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes) {
    ASSERT_NO_FATAL_FAILURE(send_step());
    if (bytes % (512U << 20) != 0) continue;
    send_.sent(5 * kLongMss);
    send_.taken_from_socket(5 * kLongMss);
    for (int i = 0; i < 3; ++i)
      ASSERT_EQ(send_.is_loss_after_duplicate(), i == 2) << "after " << bytes << " bytes";
    acknowledge(send_.una() + kLongMss);
    ASSERT_TRUE(send_.has_hole());
    acknowledge(send_.max());
    ASSERT_FALSE(send_.has_hole());
  }
}

TEST_P(TcpLongStream, WindowsAreTakenAfterAnyAmountOneWay) {
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes) {
    ASSERT_NO_FATAL_FAILURE(send_step());
    const auto window = static_cast<std::uint16_t>(4096 + (bytes >> 20) % 100);
    send_.take_window(receive_.next(), send_.una(), window);
    ASSERT_TRUE(send_.same_window(window)) << "after " << bytes << " bytes towards the guest";
  }
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes) {
    const auto window = static_cast<std::uint16_t>(4096 + (bytes >> 20) % 100);
    send_.take_window(receive_.next(), send_.una(), window);
    ASSERT_TRUE(send_.same_window(window)) << "after " << bytes << " bytes from the guest";
    receive_.took(kStepBytes / 2);
    offer();
  }
}

TEST_P(TcpLongStream, TheGuestsBytesAreTakenOnce) {
  offer();
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes / 2) {
    const Seq at = receive_.next();
    ASSERT_TRUE(receive_.is_acceptable(at));
    const TcpReceive::Part part = receive_.part_of(at, kStepBytes / 2, false);
    ASSERT_EQ(part.drop, DropReason::kNone) << "after " << bytes << " bytes";
    ASSERT_EQ(part.bytes, kStepBytes / 2);
    receive_.took(part.bytes);
    ASSERT_EQ(receive_.part_of(at, kLongMss, false).drop, DropReason::kDuplicate);
    ASSERT_EQ(receive_.part_of(receive_.next() + 1, 1, false).drop, DropReason::kOutOfOrder);
    offer();
    ASSERT_TRUE(receive_.may_hold_ack(kLongMss)) << "nothing is unacknowledged";
  }
}

// A direction that is silent while the other one carries everything.
TEST_P(TcpLongStream, ASilentDirectionWorksAfterwards) {
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes)
    ASSERT_NO_FATAL_FAILURE(send_step());
  offer();
  EXPECT_EQ(receive_.part_of(receive_.next(), 100, false).bytes, 100U);
  for (std::uint64_t bytes = 0; bytes < kLongBytes; bytes += kStepBytes / 2) {
    send_.take_window(receive_.next(), send_.una(), 8192);
    receive_.took(kStepBytes / 2);
    offer();
  }
  ASSERT_NO_FATAL_FAILURE(send_step());
  send_.sent(5 * kLongMss);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(send_.is_loss_after_duplicate(), i == 2);
}

INSTANTIATE_TEST_SUITE_P(InitialSequenceNumbers, TcpLongStream,
                         testing::Values(Seq{1000}, Seq{0xffff'fffe}, Seq{0x7fff'fff0}));

}  // namespace
}  // namespace glassbox::net
