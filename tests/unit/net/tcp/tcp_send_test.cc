// What is sent to the guest, when it is repeated, and how far its window lets it go: rules alone, without
// sockets.
#include "net/tcp/tcp_send.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "net/tcp/retransmit_timer.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kNow = 1'000'000'000;
constexpr std::uint32_t kMss = 1000;

TEST(RetransmitTimer, DoublesUpToTheLimitAndThenGivesUp) {
  RetransmitTimer timer;
  EXPECT_FALSE(timer.running());
  EXPECT_FALSE(timer.is_due(std::numeric_limits<std::uint64_t>::max()));
  timer.start(kNow);
  EXPECT_FALSE(timer.is_due(kNow + kRetransmitNs - 1));
  EXPECT_TRUE(timer.is_due(kNow + kRetransmitNs));
  std::uint64_t last_ns = 0;
  for (int attempt = 0; attempt < kMaxRetries; ++attempt) {
    timer.count_attempt();
    EXPECT_FALSE(timer.exhausted()) << attempt;
    timer.start_backed_off(kNow);
    const std::uint64_t interval_ns = timer.due_ns() - kNow;
    EXPECT_EQ(interval_ns, std::min(2 * std::max(last_ns, kRetransmitNs), kMaxRetransmitNs)) << attempt;
    last_ns = interval_ns;
  }
  timer.count_attempt();
  EXPECT_TRUE(timer.exhausted());
  timer.forget_attempts();
  EXPECT_FALSE(timer.exhausted());
  timer.start_backed_off(kNow);
  EXPECT_EQ(timer.due_ns(), kNow + kRetransmitNs);
  timer.stop();
  EXPECT_FALSE(timer.running());
}

TEST(RetransmitTimer, AnAnsweredProbeKeepsTheIntervalAndTheGuest) {
  RetransmitTimer timer;
  for (int probe = 0; probe < 5 * kMaxRetries; ++probe) {
    timer.count_attempt();
    EXPECT_FALSE(timer.exhausted()) << probe;
    timer.keep_probing();
  }
  timer.start_backed_off(kNow);
  EXPECT_EQ(timer.due_ns(), kNow + kMaxRetransmitNs);
}

// Each case from an ordinary and from a wrapping initial sequence number.
class TcpSendTest : public testing::TestWithParam<Seq> {
 public:
  // An open connection whose guest has a window of `window` bytes.
  void open(std::uint16_t window, std::int8_t scale = -1) {
    send_.begin(GetParam());
    TcpHeader syn;
    syn.seq = 77;
    syn.window = window;
    syn.mss = kMss;
    syn.scale = scale;
    send_.take_syn(syn, 1460);
    send_.timer.start(kNow);
    ASSERT_TRUE(send_.is_ack_of_syn(at(0)));
    send_.open(kNow);
    EXPECT_FALSE(send_.timer.running());
  }
  // The sequence number of a byte of the stream.
  [[nodiscard]] static Seq at(std::uint32_t offset) { return GetParam() + 1 + offset; }
  void sent(std::uint32_t bytes) {
    EXPECT_EQ(send_.sent(bytes), bytes);
    if (!send_.timer.running()) send_.timer.start(kNow);
  }
  // Bytes that were read for good, as a string of the pool.
  void store(std::size_t bytes) {
    std::string data(bytes, 'x');
    const iovec piece{data.data(), data.size()};
    ASSERT_EQ(send_.stored.append(pool_, std::span(&piece, 1), bytes), bytes);
    send_.taken_from_socket(static_cast<std::uint32_t>(bytes));
  }

  ~TcpSendTest() override { send_.stored.clear(pool_); }

  ChunkPool pool_ = std::move(*ChunkPool::create(16));
  TcpSend send_;
};

TEST_P(TcpSendTest, OnlyAnAckOfASynThatWasSentOpens) {
  send_.begin(GetParam());
  EXPECT_FALSE(send_.is_ack_of_syn(at(0))) << "nothing was sent yet";
  send_.timer.start(kNow);
  EXPECT_TRUE(send_.is_ack_of_syn(at(0)));
  EXPECT_FALSE(send_.is_ack_of_syn(GetParam()));
  EXPECT_FALSE(send_.is_ack_of_syn(at(1)));
}

TEST_P(TcpSendTest, TakesTheMssWithinItsBounds) {
  const auto mss_of = [](std::uint16_t option, std::uint16_t largest) {
    TcpSend send;
    TcpHeader syn;
    syn.mss = option;
    send.take_syn(syn, largest);
    return send.mss();
  };
  EXPECT_EQ(mss_of(1000, 1460), 1000);
  EXPECT_EQ(mss_of(9000, 1460), 1460);
  EXPECT_EQ(mss_of(1, 1460), kMinMss);
  EXPECT_EQ(mss_of(0, 1460), kDefaultMss);
}

TEST_P(TcpSendTest, SendsNoMoreThanTheWindow) {
  open(2500);
  EXPECT_EQ(send_.usable_window(), 2500U);
  sent(kMss);
  EXPECT_EQ(send_.usable_window(), 1500U);
  sent(kMss);
  EXPECT_EQ(send_.usable_window(), 0U) << "less than a segment, while something is outstanding";
  send_.acknowledge(pool_, at(2 * kMss), kNow);
  send_.take_window(78, at(2 * kMss), 500);
  EXPECT_EQ(send_.usable_window(), 500U) << "less than a segment, but nothing is outstanding";
}

TEST_P(TcpSendTest, AWindowThatShrinksBelowWhatIsInFlightStops) {
  open(5000);
  sent(4000);
  send_.take_window(78, at(0), 1000);
  EXPECT_EQ(send_.window(), 1000U);
  EXPECT_EQ(send_.usable_window(), 0U);
}

TEST_P(TcpSendTest, TheWindowOfASynIsNotScaledAndLaterOnesAre) {
  open(100, 3);
  EXPECT_EQ(send_.window(), 100U);
  EXPECT_TRUE(send_.same_window(100 >> 3) == false);
  send_.take_window(78, at(0), 100);
  EXPECT_EQ(send_.window(), 800U);
  EXPECT_TRUE(send_.same_window(100));
}

TEST_P(TcpSendTest, AScaleBeyondFourteenCountsAsFourteen) {
  open(1, 100);
  send_.take_window(78, at(0), 1);
  EXPECT_EQ(send_.window(), 1U << kMaxScale);
}

TEST_P(TcpSendTest, AnOlderSegmentDoesNotChangeTheWindow) {
  open(5000);
  sent(3000);
  send_.take_window(100, at(0), 4000);
  send_.take_window(99, at(0), 1);  // an earlier segment that was overtaken
  EXPECT_EQ(send_.window(), 4000U);
  send_.take_window(100, at(0) - 1, 1);  // an acknowledgement from before the connection
  EXPECT_EQ(send_.window(), 4000U);
  send_.take_window(100, at(0), 3000);  // the same segment position says so later
  EXPECT_EQ(send_.window(), 3000U);
  send_.take_window(90, at(1000), 2000);  // a repetition, but it acknowledges something new
  EXPECT_EQ(send_.window(), 2000U);
}

TEST_P(TcpSendTest, AnAcknowledgementFreesWhatWasStored) {
  open(60'000);
  store(3000);
  sent(3000);
  send_.acknowledge(pool_, at(1000), kNow);
  EXPECT_EQ(send_.stored.size(), 2000U);
  EXPECT_EQ(send_.una(), at(1000));
  EXPECT_EQ(send_.timer.due_ns(), kNow + kRetransmitNs);
  send_.acknowledge(pool_, at(3000), kNow);
  EXPECT_TRUE(send_.stored.empty());
  EXPECT_FALSE(send_.timer.running()) << "nothing is outstanding";
}

TEST_P(TcpSendTest, AnAcknowledgementBeyondWhatIsStoredFreesAllOfIt) {
  open(60'000);
  store(1000);
  sent(4000);  // 3000 of them were peeked at
  send_.acknowledge(pool_, at(2500), kNow);
  EXPECT_TRUE(send_.stored.empty());
  EXPECT_EQ(send_.stored_end(), at(1000)) << "until the socket's bytes are discarded";
}

TEST_P(TcpSendTest, TheThirdDuplicateMeansALoss) {
  open(60'000);
  sent(5 * kMss);
  EXPECT_FALSE(send_.is_loss_after_duplicate());
  EXPECT_FALSE(send_.is_loss_after_duplicate());
  EXPECT_TRUE(send_.is_loss_after_duplicate());
  EXPECT_FALSE(send_.is_loss_after_duplicate()) << "once a loss";
}

TEST_P(TcpSendTest, DuplicatesDuringARecoveryAreNoNewLoss) {
  open(60'000);
  sent(5 * kMss);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(send_.is_loss_after_duplicate(), i == 2);
  send_.acknowledge(pool_, at(kMss), kNow);
  EXPECT_TRUE(send_.has_hole()) << "a partial acknowledgement shows the next one";
  for (int i = 0; i < 3; ++i)
    EXPECT_FALSE(send_.is_loss_after_duplicate());
  send_.acknowledge(pool_, at(5 * kMss), kNow);
  EXPECT_FALSE(send_.has_hole()) << "the recovery is over";
  sent(kMss);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(send_.is_loss_after_duplicate(), i == 2);
}

TEST_P(TcpSendTest, AnAcknowledgementBeginsTheCountOfDuplicatesAgain) {
  open(60'000);
  sent(5 * kMss);
  EXPECT_FALSE(send_.is_loss_after_duplicate());
  EXPECT_FALSE(send_.is_loss_after_duplicate());
  send_.acknowledge(pool_, at(kMss), kNow);
  EXPECT_FALSE(send_.is_loss_after_duplicate());
  EXPECT_FALSE(send_.has_hole());
}

TEST_P(TcpSendTest, ARepetitionLeavesTheRestAsItWas) {
  open(60'000);
  sent(3 * kMss);
  const Seq next = send_.repeat_first();
  EXPECT_EQ(send_.next(), at(0));
  EXPECT_TRUE(send_.repeats());
  EXPECT_EQ(send_.sent(kMss), 0U) << "nothing of it is new";
  send_.repeat_ended(next);
  EXPECT_EQ(send_.next(), at(3 * kMss));
  EXPECT_EQ(send_.bytes(), 3U * kMss);
}

TEST_P(TcpSendTest, AfterATimeOutOneFrameGoesAlone) {
  open(60'000);
  sent(3 * kMss);
  ASSERT_TRUE(send_.time_out(kNow));
  EXPECT_EQ(send_.timer.due_ns(), kNow + 2 * kRetransmitNs);
  send_.rewind();
  EXPECT_FALSE(send_.waits_for_ack());
  EXPECT_EQ(send_.sent(kMss), 0U);
  EXPECT_TRUE(send_.waits_for_ack());
  send_.acknowledge(pool_, at(kMss), kNow);
  EXPECT_FALSE(send_.waits_for_ack());
  EXPECT_EQ(send_.timer.due_ns(), kNow + kRetransmitNs) << "without backoff";
}

TEST_P(TcpSendTest, AnAcknowledgementOfWhatIsToBeRepeatedSkipsIt) {
  open(60'000);
  sent(3 * kMss);
  send_.rewind();
  send_.acknowledge(pool_, at(2 * kMss), kNow);
  EXPECT_EQ(send_.next(), at(2 * kMss));
}

TEST_P(TcpSendTest, ASilentGuestIsGivenUp) {
  open(60'000);
  sent(kMss);
  int intervals = 0;
  while (send_.time_out(kNow))
    ++intervals;
  EXPECT_EQ(intervals, kMaxRetries);
}

TEST_P(TcpSendTest, AWaitForThePoolIsNoAttempt) {
  open(60'000);
  for (int i = 0; i < 3 * kMaxRetries; ++i)
    EXPECT_TRUE(send_.time_out(kNow)) << i;
}

TEST_P(TcpSendTest, TheFinTakesASequenceNumber) {
  open(60'000);
  EXPECT_FALSE(send_.ends_at(at(0)));
  send_.end_at(at(500));
  sent(200);
  EXPECT_FALSE(send_.fin_was_sent());
  sent(300);  // the last payload carries it
  EXPECT_TRUE(send_.fin_was_sent());
  EXPECT_EQ(send_.next(), at(501));
  EXPECT_EQ(send_.bytes(), 500U);
  send_.acknowledge(pool_, at(500), kNow);
  EXPECT_FALSE(send_.fin_was_acknowledged());
  send_.acknowledge(pool_, at(501), kNow);
  EXPECT_TRUE(send_.fin_was_acknowledged());
  EXPECT_FALSE(send_.timer.running());
}

TEST_P(TcpSendTest, AFinAloneIsRepeatedAlone) {
  open(60'000);
  send_.end_at(at(0));
  ASSERT_TRUE(send_.ends_at(send_.next()));
  send_.sent_fin();
  const Seq next = send_.repeat_first();
  EXPECT_TRUE(send_.ends_at(send_.next()));
  send_.repeat_ended(next);
  EXPECT_TRUE(send_.fin_was_sent());
}

INSTANTIATE_TEST_SUITE_P(InitialSequenceNumbers, TcpSendTest,
                         testing::Values(Seq{1000}, Seq{0xffff'fffe}, Seq{0xffff'f000}, Seq{0x7fff'fff0}));

}  // namespace
}  // namespace glassbox::net
