#include "net/poll_policy.h"

#include <gtest/gtest.h>

namespace glassbox::net {
namespace {

constexpr std::uint64_t kUs = 1000;

TEST(PollPolicy, Parses) {
  EXPECT_EQ(parse_poll("adaptive")->mode, PollConfig::Mode::kAdaptive);
  EXPECT_EQ(parse_poll("off")->mode, PollConfig::Mode::kOff);
  const auto fixed = parse_poll("40");
  ASSERT_TRUE(fixed);
  EXPECT_EQ(fixed->mode, PollConfig::Mode::kFixed);
  EXPECT_EQ(fixed->spin_us, 40U);
  for (const char* text : {"", "0", "1001", "-1", "12us", "on", "99999999999"})
    EXPECT_FALSE(parse_poll(text)) << text;
}

TEST(PollPolicy, OffNeverSpins) {
  PollPolicy policy(PollConfig{.mode = PollConfig::Mode::kOff});
  EXPECT_EQ(policy.spin_ns(true, 0), 0U);
}

TEST(PollPolicy, FixedSpinsWhateverComesOfIt) {
  PollPolicy policy(PollConfig{.mode = PollConfig::Mode::kFixed, .spin_us = 30});
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(policy.spin_ns(true, 0), 30 * kUs);
    policy.after_spin(false, 30 * kUs, 10'000 * kUs, 0);
  }
  EXPECT_EQ(policy.spin_ns(false, 0), 0U);
}

TEST(PollPolicy, SpinsOnlyAfterWork) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  EXPECT_EQ(policy.spin_ns(false, 0), 0U);
  EXPECT_GT(policy.spin_ns(true, 0), 0U);
}

TEST(PollPolicy, BudgetFollowsTheWaitsThatPaid) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  for (int i = 0; i < 100; ++i)
    policy.after_spin(true, 2 * kUs, kUs, 0);
  EXPECT_EQ(policy.spin_ns(true, 0), PollPolicy::kMinSpinNs);
  for (int i = 0; i < 100; ++i)
    policy.after_spin(true, 30 * kUs, kUs, 0);
  const std::uint64_t budget_ns = policy.spin_ns(true, 0);
  EXPECT_GT(budget_ns, 50 * kUs);
  EXPECT_LE(budget_ns, 60 * kUs);
}

// Turns with work of which none is followed by an event in time: what fraction of them spins?
TEST(PollPolicy, SpinsThatDoNotPayBecomeRare) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  int spins = 0;
  constexpr int kTurns = 10'000;
  for (int i = 0; i < kTurns; ++i) {
    const std::uint64_t budget_ns = policy.spin_ns(true, 0);
    if (budget_ns == 0) continue;
    ++spins;
    policy.after_spin(false, budget_ns, kUs, 0);
  }
  EXPECT_GT(spins, 0);
  EXPECT_LT(spins, kTurns / 100);
}

TEST(PollPolicy, OneThatPaysEndsTheRests) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  for (int i = 0; i < 10'000; ++i) {
    if (policy.spin_ns(true, 0) != 0) policy.after_spin(false, 50 * kUs, kUs, 0);
  }
  std::uint64_t budget_ns = 0;
  for (std::uint32_t i = 0; i <= PollPolicy::kMaxRestTurns && budget_ns == 0; ++i)
    budget_ns = policy.spin_ns(true, 0);
  ASSERT_NE(budget_ns, 0U);
  policy.after_spin(true, 10 * kUs, kUs, 0);
  for (int i = 0; i < 10; ++i)
    EXPECT_NE(policy.spin_ns(true, 0), 0U);
}

TEST(PollPolicy, BacksOffWhereOthersWantTheCore) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  std::uint64_t now_ns = 1'000'000'000;
  std::uint64_t rest_ns = PollPolicy::kMinRestNs;
  for (int i = 0; i < 12; ++i) {
    ASSERT_NE(policy.spin_ns(true, now_ns), 0U);
    policy.after_spin(true, 10 * kUs, PollPolicy::kStolenNs + 1, now_ns);
    EXPECT_EQ(policy.spin_ns(true, now_ns + rest_ns - 1), 0U);
    now_ns += rest_ns;
    rest_ns = std::min(2 * rest_ns, PollPolicy::kMaxRestNs);
  }
}

TEST(PollPolicy, ShortGapsAreCooperation) {
  PollPolicy policy{PollConfig{.mode = PollConfig::Mode::kAdaptive}};
  policy.after_spin(true, 40 * kUs, 40 * kUs, 0);
  EXPECT_NE(policy.spin_ns(true, 0), 0U);
}

}  // namespace
}  // namespace glassbox::net
