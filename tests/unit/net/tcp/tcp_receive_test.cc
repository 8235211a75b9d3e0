// What is taken of the guest's segments, and which window and acknowledgement it gets: rules alone, without
// sockets.
#include "net/tcp/tcp_receive.h"

#include <gtest/gtest.h>

#include <string>

namespace glassbox::net {
namespace {

constexpr std::uint32_t kSegment = 1460;
constexpr std::uint16_t kGuestMss = 1460;
constexpr std::uint64_t kHeldAtNs = 1'000'000'000;

// Each case from an ordinary and from a wrapping initial sequence number.
class TcpReceiveTest : public testing::TestWithParam<Seq> {
 public:
  // A connection that has offered a window of `window` bytes; without scaling, so that it is exact.
  void open(std::uint32_t window) {
    receive_.take_syn(GetParam(), false);
    window_ = receive_.offer_syn_window(kSegment, false);
    ASSERT_EQ(window_, kSmallWindow);
    receive_.took(kSmallWindow - window);
    begin_ = receive_.next();
  }
  // A scaled one, with the full window.
  void open_scaled() {
    receive_.take_syn(GetParam(), true);
    EXPECT_EQ(offer(), kWindow);
    begin_ = receive_.next();
  }
  [[nodiscard]] Seq at(std::uint32_t offset) const { return begin_ + offset; }
  // The window as the guest reads it, with `room` free bytes in the socket.
  std::uint32_t offer(std::optional<std::uint32_t> room = std::nullopt, bool scarce = false) {
    const auto ask = [&] {
      ++asked_;
      return room;
    };
    return std::uint32_t{receive_.offer_window(kSegment, scarce, ask)} << (receive_.scaled() ? kOurScale : 0);
  }
  // Bytes that the host socket would not take.
  void overflow(std::size_t bytes) {
    std::string data(bytes, 'x');
    const iovec piece{data.data(), data.size()};
    ASSERT_EQ(receive_.overflow.append(pool_, std::span(&piece, 1), bytes), bytes);
    receive_.took(bytes);
    receive_.follow_room();
  }

  ~TcpReceiveTest() override { receive_.overflow.clear(pool_); }

  ChunkPool pool_ = std::move(*ChunkPool::create(64));
  TcpReceive receive_;
  Seq begin_ = 0;
  std::uint32_t window_ = 0;
  int asked_ = 0;
};

void expect_part(const TcpReceive::Part& part, DropReason drop, std::uint32_t skip, std::uint32_t bytes,
                 bool fin) {
  EXPECT_EQ(part.drop, drop);
  EXPECT_EQ(part.skip, skip);
  EXPECT_EQ(part.bytes, bytes);
  EXPECT_EQ(part.fin, fin);
}

TEST_P(TcpReceiveTest, TakesWhatIsInOrderAndNew) {
  open(1000);
  expect_part(receive_.part_of(at(0), 400, false), DropReason::kNone, 0, 400, false);
  receive_.took(400);
  expect_part(receive_.part_of(at(0), 400, false), DropReason::kDuplicate, 0, 0, false);
  expect_part(receive_.part_of(at(100), 200, false), DropReason::kDuplicate, 0, 0, false);
  expect_part(receive_.part_of(at(300), 200, false), DropReason::kNone, 100, 100, false);
  expect_part(receive_.part_of(at(300), 200, true), DropReason::kNone, 100, 100, true);
  expect_part(receive_.part_of(at(500), 10, false), DropReason::kOutOfOrder, 0, 0, false);
}

TEST_P(TcpReceiveTest, TakesNothingBeyondTheEdge) {
  open(1000);
  expect_part(receive_.part_of(at(0), 1000, true), DropReason::kNone, 0, 1000, true);
  expect_part(receive_.part_of(at(0), 1001, true), DropReason::kOutOfWindow, 0, 1000, false);
  expect_part(receive_.part_of(at(999), 5, false), DropReason::kOutOfOrder, 0, 0, false);
  expect_part(receive_.part_of(at(1000), 5, false), DropReason::kOutOfWindow, 0, 0, false);
  receive_.took(1000);
  expect_part(receive_.part_of(at(1000), 1, false), DropReason::kOutOfWindow, 0, 0, false);
  expect_part(receive_.part_of(at(999), 2, false), DropReason::kOutOfWindow, 1, 0, false);
}

TEST_P(TcpReceiveTest, AFinAloneIsNoDuplicate) {
  open(1000);
  receive_.took(100);
  expect_part(receive_.part_of(at(100), 0, true), DropReason::kNone, 0, 0, true);
  expect_part(receive_.part_of(at(50), 50, true), DropReason::kNone, 50, 0, true);
  expect_part(receive_.part_of(at(50), 49, true), DropReason::kDuplicate, 0, 0, false);
}

TEST_P(TcpReceiveTest, NothingFollowsAFin) {
  open(1000);
  receive_.took_fin();
  EXPECT_TRUE(receive_.fin());
  EXPECT_EQ(receive_.next(), at(1));
  expect_part(receive_.part_of(at(0), 0, true), DropReason::kDuplicate, 0, 0, false);
  expect_part(receive_.part_of(at(1), 5, false), DropReason::kOutOfWindow, 0, 0, false);
}

TEST_P(TcpReceiveTest, AFinAtTheEdgeMovesIt) {
  open(100);
  receive_.took(100);
  receive_.took_fin();
  EXPECT_EQ(receive_.edge(), at(101));
  EXPECT_TRUE(receive_.is_acceptable(at(101)));
  EXPECT_EQ(offer(), 0U);
}

TEST_P(TcpReceiveTest, AResetCountsAtNextAndIsChallengedWithinTheWindow) {
  open(1000);
  EXPECT_FALSE(receive_.is_within_window(at(0)));
  EXPECT_TRUE(receive_.is_within_window(at(1)));
  EXPECT_TRUE(receive_.is_within_window(at(999)));
  EXPECT_FALSE(receive_.is_within_window(at(1000)));
  EXPECT_FALSE(receive_.is_within_window(at(0) - 1));
  EXPECT_TRUE(receive_.is_acceptable(at(1000)));
  EXPECT_FALSE(receive_.is_acceptable(at(1001)));
}

TEST_P(TcpReceiveTest, TheEdgeMovesWithWhatIsTakenAndNeverBack) {
  open_scaled();
  receive_.took(100'000);
  EXPECT_EQ(offer(), kWindow);
  const Seq edge = receive_.edge();
  EXPECT_EQ(edge, at(100'000 + kWindow));
  offer(std::nullopt, true);  // memory is scarce: the limit falls, the edge stays
  EXPECT_EQ(receive_.edge(), edge);
}

TEST_P(TcpReceiveTest, TheSynOffersNoMoreThanItCanSay) {
  receive_.take_syn(GetParam(), true);
  EXPECT_EQ(receive_.offer_syn_window(kSegment, false), kSmallWindow);
  EXPECT_EQ(receive_.edge(), GetParam() + 1 + kSmallWindow);
}

TEST_P(TcpReceiveTest, TheLeastWindowHoldsTwoSegments) {
  receive_.take_syn(GetParam(), true);
  EXPECT_EQ(receive_.least_window(kSegment), kSmallWindow);
  EXPECT_EQ(receive_.least_window(65'000), 130'000U);
  EXPECT_EQ(receive_.window_limit(65'000, true), 130'000U);
  receive_.take_syn(GetParam(), false);
  EXPECT_EQ(receive_.least_window(65'000), kSmallWindow) << "more cannot be said without scaling";
}

TEST_P(TcpReceiveTest, TheEdgeStandsWhileBytesWaitForTheSocket) {
  open_scaled();
  overflow(5000);
  EXPECT_EQ(receive_.overflow_begin(), at(0));
  EXPECT_EQ(offer(1U << 30), kWindow - 5000 - (kWindow - 5000) % 128);
  EXPECT_EQ(receive_.edge(), at(kWindow));
  EXPECT_EQ(asked_, 0) << "the room is asked for when it matters only";
}

TEST_P(TcpReceiveTest, AfterACongestionTheWindowFollowsTheRoom) {
  open_scaled();
  overflow(5000);
  receive_.overflow.clear(pool_);
  offer(0);
  EXPECT_EQ(asked_, 0) << "still three quarters open";
  receive_.took(kWindow - 5000);  // all that was offered
  EXPECT_EQ(offer(400'000), 200'000U - 200'000U % 128);
  EXPECT_EQ(asked_, 1);
  receive_.took(200'000);
  EXPECT_EQ(offer(0), kSmallWindow - kSmallWindow % 128) << "the floor";
  receive_.took(kSmallWindow);
  EXPECT_EQ(offer(std::nullopt), 0U) << "the socket is closed";
  EXPECT_EQ(offer(4 * kWindow), kWindow) << "all the room is back";
  receive_.took(kWindow);
  asked_ = 0;
  EXPECT_EQ(offer(0), kWindow) << "and it is not asked for any more";
  EXPECT_EQ(asked_, 0);
}

TEST_P(TcpReceiveTest, OverflowBeginsBeforeTheFin) {
  open_scaled();
  receive_.took(10);
  overflow(5000);
  receive_.took_fin();
  EXPECT_EQ(receive_.overflow_begin(), at(10));
}

TEST_P(TcpReceiveTest, HoldsTheAckOfAShortRequest) {
  AckHold holds;
  open(10'000);
  receive_.ack_sent();
  receive_.took(100);
  receive_.require_ack();
  ASSERT_TRUE(receive_.may_hold_ack(kGuestMss));
  receive_.hold_ack(holds, 3, kHeldAtNs);
  EXPECT_FALSE(receive_.ack_due());
  EXPECT_TRUE(receive_.hold_ends_at(kHeldAtNs + AckHold::kHoldNs));
  receive_.took(kGuestMss);
  EXPECT_FALSE(receive_.may_hold_ack(kGuestMss)) << "more than a segment";
  receive_.ack_sent();
  EXPECT_FALSE(receive_.hold_ends_at(kHeldAtNs + AckHold::kHoldNs));
  EXPECT_TRUE(receive_.may_hold_ack(kGuestMss));
}

TEST_P(TcpReceiveTest, AFlowWhoseHoldFailedIsNotHeldAgain) {
  AckHold holds;
  open(10'000);
  receive_.ack_sent();
  receive_.took(100);
  receive_.hold_ack(holds, 3, kHeldAtNs);
  receive_.hold_failed();
  EXPECT_TRUE(receive_.ack_due());
  receive_.ack_sent();
  receive_.took(100);
  EXPECT_FALSE(receive_.may_hold_ack(kGuestMss));
}

TEST_P(TcpReceiveTest, WhatTheHostHasNotTakenIsNotHeld) {
  open_scaled();
  receive_.ack_sent();
  overflow(100);
  EXPECT_FALSE(receive_.may_hold_ack(kGuestMss));
}

INSTANTIATE_TEST_SUITE_P(InitialSequenceNumbers, TcpReceiveTest,
                         testing::Values(Seq{1000}, Seq{0xffff'fffe}, Seq{0xffff'0000}, Seq{0x7fff'fff0}));

}  // namespace
}  // namespace glassbox::net
