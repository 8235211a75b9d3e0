#include "net/loop/poll_policy.h"

#include <gtest/gtest.h>

#include <functional>

namespace glassbox::net {
namespace {

constexpr std::uint64_t kUs = 1000;

std::uint64_t cpu_ns = 0;  // what the policy's CPU clock says
std::uint64_t cpu_clock() {
  return cpu_ns;
}

PollPolicy policy_of(PollConfig::Mode mode, std::uint32_t us = 50) {
  return {PollConfig{.mode = mode, .spin_us = us}, cpu_clock};
}

// A workload in which every turn has work: how far apart turns are and what CPU time one takes, after a spin
// and without.
struct Workload {
  std::function<std::uint64_t(bool spun)> gap_ns;
  std::function<std::uint64_t(bool spun)> turn_cpu_ns;
};

// The share of turns that were followed by a spin.
double spins_in(PollPolicy& policy, std::uint64_t& now_ns, int turns, const Workload& workload) {
  int spins = 0;
  for (int i = 0; i < turns; ++i) {
    const bool spun = policy.spin_ns(true, now_ns) != 0;
    spins += spun ? 1 : 0;
    now_ns += workload.gap_ns(spun);
    cpu_ns += workload.turn_cpu_ns(spun);
  }
  return static_cast<double>(spins) / turns;
}

Workload constant(std::uint64_t spun_us, std::uint64_t slept_us, std::uint64_t spun_cpu_us,
                  std::uint64_t slept_cpu_us) {
  return {[=](bool spun) { return (spun ? spun_us : slept_us) * kUs; },
          [=](bool spun) { return (spun ? spun_cpu_us : slept_cpu_us) * kUs; }};
}

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
  PollPolicy policy = policy_of(PollConfig::Mode::kOff);
  EXPECT_EQ(policy.spin_ns(true, 0), 0U);
}

TEST(PollPolicy, FixedSpinsWhateverComesOfIt) {
  PollPolicy policy = policy_of(PollConfig::Mode::kFixed, 30);
  for (std::uint64_t i = 0; i < 10'000; ++i)
    EXPECT_EQ(policy.spin_ns(true, i * 10'000 * kUs), 30 * kUs);
  EXPECT_EQ(policy.spin_ns(false, 0), 0U);
}

TEST(PollPolicy, SpinsOnlyAfterWork) {
  PollPolicy policy(PollConfig{.spins_first = true}, cpu_clock);
  EXPECT_EQ(policy.spin_ns(false, 0), 0U);
  EXPECT_EQ(policy.spin_ns(true, 0), 50 * kUs);
}

// As long as nothing is known about the traffic the thread sleeps, as its peers do; with a guest it spins.
TEST(PollPolicy, SleepsUntilSpinningHasShownThatItPays) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  const Workload good = constant(20, 40, 20, 10);
  constexpr int kBeforeTrial = PollPolicy::kMinPatience * PollPolicy::kWindow - 1;
  EXPECT_EQ(spins_in(policy, now_ns, kBeforeTrial, good), 0);
  EXPECT_GT(spins_in(policy, now_ns, 4 * PollPolicy::kWindow, good), 0.7);
}

TEST(PollPolicy, GoesOnWhereTurnsComeFaster) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  EXPECT_GT(spins_in(policy, now_ns, 400'000, constant(20, 40, 20, 10)), 0.97);
}

// Spinning moves the other threads to another core, where their wake-ups cost more than the sleep saved.
TEST(PollPolicy, StopsWhereTurnsComeSlower) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  EXPECT_LT(spins_in(policy, now_ns, 400'000, constant(45, 25, 45, 14)), 0.03);
}

// Turns that come at their own pace: a spin finds nothing and only costs CPU time.
TEST(PollPolicy, StopsWhereItOnlyCosts) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  const Workload sparse = constant(1000, 1000, 60, 10);
  spins_in(policy, now_ns, 100'000, sparse);
  const std::uint64_t before_ns = cpu_ns;
  constexpr int kTurns = 100'000;
  EXPECT_LT(spins_in(policy, now_ns, kTurns, sparse), 0.01);
  EXPECT_LT(cpu_ns - before_ns, std::uint64_t{kTurns} * 12 * kUs);  // ten of them are the turn's own
}

// A guest whose steps are a millisecond apart, and less where it need not kick.
TEST(PollPolicy, ALongerSpinJudgesLongerSteps) {
  const Workload guest = constant(400, 700, 400, 60);
  std::uint64_t now_ns = 0;
  PollPolicy shorter = policy_of(PollConfig::Mode::kAdaptive);
  EXPECT_LT(spins_in(shorter, now_ns, 400'000, guest), 0.03);
  PollPolicy longer = policy_of(PollConfig::Mode::kAdaptive, kGuestSpinUs);
  EXPECT_GT(spins_in(longer, now_ns, 400'000, guest), 0.97);
}

// After one workload comes another that needs the opposite. The policy notices that by the cost of a turn,
// however long the first has lasted. (The other spins are trials, which are frequent at first.)
TEST(PollPolicy, OtherTrafficIsTriedSoon) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  const Workload cycles = constant(20, 40, 20, 10);
  const Workload requests = constant(45, 25, 45, 14);
  for (int i = 0; i < 3; ++i) {
    spins_in(policy, now_ns, 400'000, cycles);
    spins_in(policy, now_ns, 6 * PollPolicy::kWindow, requests);
    EXPECT_LT(spins_in(policy, now_ns, 3 * PollPolicy::kWindow, requests), 0.4) << i;
    spins_in(policy, now_ns, 400'000, requests);
    spins_in(policy, now_ns, 6 * PollPolicy::kWindow, cycles);
    EXPECT_GT(spins_in(policy, now_ns, 3 * PollPolicy::kWindow, cycles), 0.6) << i;
  }
}

// One window in ten costs twice as much, because something else ran. The traffic is the same, so there are no
// more trials.
TEST(PollPolicy, ABusyMachineIsNotOtherTraffic) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  std::uint64_t turn = 0;
  const Workload noisy = {[&](bool spun) {
                            const bool disturbed = turn++ / PollPolicy::kWindow % 10 == 0;
                            return std::uint64_t{spun ? 45U : 25U} * (disturbed ? 2 : 1) * kUs;
                          },
                          [](bool spun) { return std::uint64_t{spun ? 45U : 14U} * kUs; }};
  spins_in(policy, now_ns, 400'000, noisy);
  EXPECT_LT(spins_in(policy, now_ns, 400'000, noisy), 0.01);
}

TEST(PollPolicy, FollowsTheMachineWhenItChanges) {
  PollPolicy policy = policy_of(PollConfig::Mode::kAdaptive);
  std::uint64_t now_ns = 0;
  const Workload bad = constant(45, 25, 45, 14);
  const Workload good = constant(20, 40, 20, 10);
  spins_in(policy, now_ns, 400'000, bad);
  spins_in(policy, now_ns, 2 * PollPolicy::kMaxPatience * PollPolicy::kWindow, good);
  EXPECT_GT(spins_in(policy, now_ns, 10'000, good), 0.6);
  spins_in(policy, now_ns, 2 * PollPolicy::kMaxPatience * PollPolicy::kWindow, bad);
  EXPECT_LT(spins_in(policy, now_ns, 10'000, bad), 0.4);
}

}  // namespace
}  // namespace glassbox::net
