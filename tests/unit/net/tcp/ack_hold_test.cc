#include "net/tcp/ack_hold.h"

#include <gtest/gtest.h>

namespace glassbox::net {
namespace {

TEST(AckHold, EndsInTheOrderOfTheBeginnings) {
  AckHold holds;
  EXPECT_EQ(holds.front(), nullptr);
  EXPECT_EQ(holds.begin(7, 1000), 1000 + AckHold::kHoldNs);
  EXPECT_EQ(holds.begin(3, 2000), 2000 + AckHold::kHoldNs);
  ASSERT_NE(holds.front(), nullptr);
  EXPECT_EQ(holds.front()->flow_index, 7U);
  holds.pop_front();
  EXPECT_EQ(holds.front()->flow_index, 3U);
  holds.pop_front();
  EXPECT_EQ(holds.front(), nullptr);
}

TEST(AckHold, AFullRingHoldsNothingMore) {
  AckHold holds;
  std::uint32_t held = 0;
  while (held < 10'000 && holds.begin(held, 1) != 0)
    ++held;
  EXPECT_GT(held, 64U);
  EXPECT_LT(held, 10'000U);
  holds.pop_front();
  EXPECT_NE(holds.begin(0, 1), 0U);
}

TEST(AckHold, LateRepliesEndIt) {
  AckHold holds;
  for (int i = 0; i < 10; ++i)
    holds.learn_failure();
  EXPECT_EQ(holds.begin(0, 1), 0U);
  for (int i = 0; i < 100; ++i)
    holds.learn(20'000);
  EXPECT_NE(holds.begin(0, 1), 0U);
}

}  // namespace
}  // namespace glassbox::net
