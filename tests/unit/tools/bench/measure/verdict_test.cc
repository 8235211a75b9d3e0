// When two rows are called different, and when the null test has found the harness out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/bench/report/samples.h"
#include "tools/bench/measure/verdict.h"
#include "tools/bench/report/json.h"
#include "tools/bench/report/text.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;

TEST(Verdict, SignFlipIsExact) {
  // All of one sign: only the observed signs and their opposite are as extreme.
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>{1, 2, 3, 4}), 2.0 / 16);
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>(8, 0.5)), 2.0 / 256);
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>{1, -1}), 1);
  EXPECT_DOUBLE_EQ(sign_flip_p({}), 1);
  EXPECT_LT(sign_flip_p(std::vector<double>(30, 0.5)), 1e-4);
}

TEST(Verdict, AStackIsNotDifferentFromItself) {
  int different = 0;
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    const auto verdict = compare(moody(1000, 8, 3 * trial, trial), moody(1000, 8, 3 * trial + 1, trial));
    ASSERT_TRUE(verdict.has_value());
    different += verdict->different ? 1 : 0;
  }
  EXPECT_LE(different, 2);  // at most 1 % by the test, and the intervals must part as well
}

TEST(Verdict, PooledCyclesOfMoodyRoundsDoNotFoolIt) {
  // Each stack with moods of its own: the pooled intervals part, and still nothing is different.
  int parted = 0;
  int different = 0;
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    const auto verdict =
        compare(moody(1000, 8, trial, 7 * trial), moody(1000, 8, trial + 500, 7 * trial + 1));
    parted += verdict->overlap ? 0 : 1;
    different += verdict->different ? 1 : 0;
  }
  EXPECT_GT(parted, 20);
  EXPECT_LE(different, 3);
}

TEST(Verdict, AClearDifferenceIsOneWithItsP) {
  const auto verdict = compare(moody(1000, 8, 1, 9), moody(3000, 8, 2, 9));
  EXPECT_TRUE(verdict->different);
  EXPECT_LT(verdict->p, kSignificance);
  EXPECT_NEAR(verdict->ratio, 1.0 / 3, 0.05);
  EXPECT_THAT(describe(*verdict), HasSubstr("(p 0.00"));
}

// Every round says the same, and yet the medians are no further apart than they are known.
TEST(Verdict, ASteadyDifferenceWithinTheIntervalsIsNone) {
  const auto verdict = compare(moody(100'100, 8, 1, 5), moody(100'000, 8, 1, 5));
  EXPECT_LT(verdict->p, kSignificance);
  EXPECT_TRUE(verdict->overlap);
  EXPECT_FALSE(verdict->different);
}

TEST(Verdict, FewRoundsTellNothing) {
  const auto verdict = compare(moody(1000, 5, 1, 9), moody(9000, 5, 2, 9));
  EXPECT_FALSE(verdict->different);
  EXPECT_THAT(describe(*verdict), HasSubstr("too few rounds"));
  EXPECT_FALSE(compare({}, moody(1, 8, 1, 1)).has_value());
}

TEST(NullTest, FailsWhereTheHarnessAddsAndOnlyThere) {
  EXPECT_FALSE(null_test_failed({}));
  EXPECT_FALSE(null_test_failed({moody(1000, 8, 1, 9), moody(1000, 8, 2, 9)}));
  EXPECT_TRUE(null_test_failed({moody(2000, 8, 1, 9), moody(1000, 8, 2, 9)}));
}

}  // namespace
}  // namespace glassbox::bench
