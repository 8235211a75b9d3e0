// The judgement, on figures of known truth.
#include "tests/delays/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::delays {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// 50 pairs; cycles alternate between `base` and `base + delay`, with a noise of up to `noise` in both.
struct Made {
  Places places;
  std::vector<std::int64_t> delay_ns;
};

Made make(std::int64_t held, std::int64_t elsewhere, std::int64_t noise = 0) {
  Made out;
  out.places.names = {"holder", "other", "unattributed"};
  out.places.by_cycle.resize(3);
  for (std::int64_t k = 0; k < 100; ++k) {
    const bool delayed = k % 2 == 1;
    const std::int64_t jitter = noise * ((k * 37) % 101) / 100;
    out.places.by_cycle[0].push_back(kMs + jitter + (delayed ? held : 0));
    out.places.by_cycle[1].push_back(2 * kMs + (delayed ? elsewhere : 0));
    out.places.by_cycle[2].push_back(0);
    out.delay_ns.push_back(delayed ? 10 * kMs : 0);
  }
  return out;
}

Decision judge(const Made& made, std::int64_t bound_ns = 0) {
  return judge_places(made.places, made.delay_ns, "holder", bound_ns).decision;
}

TEST(Judge, TheHolderMustCarryTheDelay) {
  EXPECT_EQ(judge(make(10 * kMs, 0)), Decision::kHolds);
  EXPECT_EQ(judge(make(9'600'000, 0)), Decision::kHolds);
  EXPECT_EQ(judge(make(9'400'000, 0)), Decision::kFails);
  EXPECT_EQ(judge(make(10'600'000, 0)), Decision::kFails);
  EXPECT_EQ(judge(make(9'400'000, 0), 200'000), Decision::kHolds) << "within the clock's bound";
}

TEST(Judge, NoOtherPlaceMayGrow) {
  EXPECT_EQ(judge(make(10 * kMs, 900'000)), Decision::kHolds);
  EXPECT_EQ(judge(make(10 * kMs, 1'100'000)), Decision::kFails);
  EXPECT_EQ(judge(make(10 * kMs, -5 * kMs)), Decision::kHolds);
}

TEST(Judge, TheWrongPlaceFails) {
  EXPECT_EQ(judge(make(0, 10 * kMs)), Decision::kFails);
}

TEST(Judge, NoiseLeavesItOpen) {
  EXPECT_EQ(judge(make(10 * kMs, 0, 20 * kMs)), Decision::kUndecided);
  EXPECT_EQ(judge(make(10 * kMs, 0, 500'000)), Decision::kHolds);
}

TEST(Judge, WithoutADelayNothingIsJudged) {
  Made made = make(10 * kMs, 0);
  made.delay_ns.assign(100, 0);
  EXPECT_EQ(judge(made), Decision::kUndecided);
}

TEST(Median, HasAnIntervalOfOrderStatistics) {
  std::vector<std::int64_t> values;
  for (std::int64_t k = -50; k <= 50; ++k)
    values.push_back(k);
  const MedianInterval m = median_of(values);
  EXPECT_EQ(m.median_ns, 0);
  EXPECT_LT(m.low_ns, 0);
  EXPECT_GT(m.low_ns, -20);
  EXPECT_EQ(m.high_ns, -m.low_ns);
  EXPECT_EQ(median_of({1, 2, 3}).high_ns, INT64_MAX) << "three values bound nothing";
}

}  // namespace
}  // namespace glassbox::delays
