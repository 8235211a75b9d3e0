#include "tools/bench/measure/stats.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace glassbox::bench {
namespace {

std::vector<std::uint64_t> one_to(std::size_t n) {
  std::vector<std::uint64_t> samples(n);
  std::iota(samples.begin(), samples.end(), 1);
  return samples;
}

TEST(Percentile, IsTheNearestRank) {
  const auto ten = one_to(10);
  EXPECT_EQ(percentile(ten, 0.5), 5);
  EXPECT_EQ(percentile(ten, 0.9), 9);
  EXPECT_EQ(percentile(ten, 0.91), 10);
  EXPECT_EQ(percentile(ten, 1.0), 10);
  EXPECT_EQ(percentile(ten, 1e-9), 1);
  EXPECT_EQ(percentile(one_to(11), 0.5), 6);
  EXPECT_EQ(percentile(one_to(1), 0.99), 1);
}

TEST(Percentile, OfNothingIsNothing) {
  EXPECT_EQ(percentile({}, 0.5), std::nullopt);
}

TEST(Percentile, EveryRankOfEverySizeIsMet) {
  // p = k/n must give the k-th sample, whatever the rounding of the product.
  for (std::size_t n = 1; n <= 300; ++n) {
    const auto samples = one_to(n);
    for (std::size_t k = 1; k <= n; ++k) {
      ASSERT_EQ(percentile(samples, static_cast<double>(k) / static_cast<double>(n)), k) << k << " of " << n;
    }
  }
}

TEST(SamplesNeeded, TenBeyondATailPercentile) {
  EXPECT_EQ(samples_needed(0.5), 1u);
  EXPECT_EQ(samples_needed(0.9), 1u);
  EXPECT_EQ(samples_needed(0.99), 1000u);
  EXPECT_EQ(samples_needed(0.999), 10'000u);
}

TEST(Summary, StatesNoP99BelowAThousand) {
  EXPECT_EQ(summarize(one_to(100)).p90_ns, 90);
  EXPECT_EQ(summarize(one_to(999)).p99_ns, std::nullopt);
  EXPECT_EQ(summarize(one_to(1000)).p99_ns, 990);
  EXPECT_EQ(summarize(one_to(9999)).p999_ns, std::nullopt);
  EXPECT_EQ(summarize(one_to(10'000)).p999_ns, 9990);
}

TEST(Summary, SortsForItself) {
  const Summary summary = summarize({30, 10, 20});
  EXPECT_EQ(summary.n, 3u);
  EXPECT_EQ(summary.min_ns, 10);
  EXPECT_EQ(summary.p50_ns, 20);
  EXPECT_EQ(summary.max_ns, 30);
}

TEST(Summary, OfNothingStatesNothing) {
  const Summary summary = summarize({});
  EXPECT_EQ(summary.n, 0u);
  EXPECT_EQ(summary.p50_ns, std::nullopt);
  EXPECT_EQ(summary.max_ns, std::nullopt);
  EXPECT_FALSE(summary.median_interval.has_value());
}

TEST(MedianInterval, MatchesTheTables) {
  // Conover, Practical Nonparametric Statistics: n = 10 gives ranks 2 and 9 (97.9 %), n = 20 ranks 6 and 15
  // (95.9 %).
  const auto ten = median_interval(one_to(10), 0.95);
  ASSERT_TRUE(ten.has_value());
  EXPECT_EQ(ten->low_ns, 2u);
  EXPECT_EQ(ten->high_ns, 9u);
  EXPECT_NEAR(ten->confidence, 0.9785, 5e-5);
  const auto twenty = median_interval(one_to(20), 0.95);
  ASSERT_TRUE(twenty.has_value());
  EXPECT_EQ(twenty->low_ns, 6u);
  EXPECT_EQ(twenty->high_ns, 15u);
  EXPECT_NEAR(twenty->confidence, 0.9586, 5e-5);
}

TEST(MedianInterval, NeedsSixSamples) {
  EXPECT_FALSE(median_interval(one_to(5), 0.95).has_value());
  EXPECT_TRUE(median_interval(one_to(6), 0.95).has_value());
}

TEST(MedianInterval, WorksForManySamples) {
  const auto interval = median_interval(one_to(20'000), 0.95);
  ASSERT_TRUE(interval.has_value());
  // n/2 -+ 1.96 sqrt(n)/2
  EXPECT_NEAR(static_cast<double>(interval->low_ns), 10'000 - 138.6, 2);
  EXPECT_NEAR(static_cast<double>(interval->high_ns), 10'000 + 138.6, 2);
}

TEST(MedianInterval, CoversTheMedianAsOftenAsItSays) {
  std::mt19937_64 random(5);
  std::uniform_int_distribution<std::uint64_t> uniform(0, 2'000'000);
  int covered = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::uint64_t> samples(30);
    for (auto& sample : samples)
      sample = uniform(random);
    const auto interval = summarize(samples).median_interval;
    ASSERT_TRUE(interval.has_value());
    if (interval->low_ns <= 1'000'000 && interval->high_ns >= 1'000'000) ++covered;
  }
  // 95.7 % exactly for n = 30; four standard deviations of 2,000 rounds are 1.8 %.
  EXPECT_NEAR(covered / static_cast<double>(kRounds), 0.957, 0.018);
}

TEST(MedianDifference, HasAnIntervalOfBothMedians) {
  std::vector<std::uint64_t> later = one_to(100);
  for (auto& value : later)
    value += 1000;
  const auto difference = median_difference(later, one_to(100));
  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->difference_ns, 1000);
  EXPECT_GE(difference->confidence, 0.95);
  EXPECT_LT(difference->low_ns, 1000);
  EXPECT_GT(difference->low_ns, 1000 - 30);
  EXPECT_EQ(difference->high_ns - 1000, 1000 - difference->low_ns);
  EXPECT_EQ(median_difference(one_to(100), later)->difference_ns, -1000);
  EXPECT_FALSE(median_difference(later, one_to(6)).has_value());
}

}  // namespace
}  // namespace glassbox::bench
