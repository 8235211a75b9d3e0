#include "tools/lab/liveness.h"

#include <gtest/gtest.h>

namespace glassbox::lab {
namespace {

using std::chrono::seconds;
constexpr seconds kPatience{60};

struct LabLiveness : ::testing::Test {
  // The client's turns of one second, with a lab that answers nothing, until it is given up.
  std::optional<seconds> silence_until_given_up(int limit_s = 1000) {
    for (int second = 0; second < limit_s; ++second) {
      now += seconds(1);
      if (const auto silence = liveness.dead(now)) return silence;
      if (liveness.ask(now)) ++pings;
    }
    return std::nullopt;
  }

  const Liveness::Clock::time_point start{};
  Liveness::Clock::time_point now = start;
  Liveness liveness{kPatience, start};
  int pings = 0;
};

TEST_F(LabLiveness, ALabThatNeverAnswersIsGivenUpAfterThePatience) {
  EXPECT_EQ(silence_until_given_up(), kPatience);
}

TEST_F(LabLiveness, ALabThatStopsAnsweringIsGivenUpAPatienceAfterTheFirstPingWithoutAnAnswer) {
  liveness.heard();
  EXPECT_EQ(silence_until_given_up(), kPatience);
  EXPECT_EQ(now - start, kPatience + seconds(5)) << "the first ping is sent after 5 s";
}

TEST_F(LabLiveness, ALabThatAnswersEachPingLatelyLives) {
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(silence_until_given_up(59), std::nullopt) << "round " << round;
    liveness.heard();
  }
  EXPECT_GT(pings, 100);
}

TEST_F(LabLiveness, AClientThatWasStoppedItselfDoesNotBlameTheLab) {
  liveness.heard();
  now += seconds(3600);
  EXPECT_EQ(liveness.dead(now), std::nullopt);
  EXPECT_TRUE(liveness.ask(now));
}

TEST_F(LabLiveness, WhoWantsAnEndGetsItAtOnceFromALabThatIsSilentAlready) {
  EXPECT_EQ(silence_until_given_up(15), std::nullopt);
  liveness.want_end(now);
  EXPECT_EQ(liveness.dead(now), seconds(15));
}

TEST_F(LabLiveness, WhoWantsAnEndGetsItSoonFromALabThatSaysNothingMore) {
  liveness.heard();
  liveness.want_end(now);
  EXPECT_TRUE(liveness.ask(now)) << "a question goes out with the wish";
  EXPECT_EQ(silence_until_given_up(), seconds(5));
}

TEST_F(LabLiveness, ACommandMayOutliveTheWishWhereTheLabAnswers) {
  liveness.want_end(now);
  EXPECT_TRUE(liveness.ask(now));
  liveness.heard();
  EXPECT_EQ(silence_until_given_up(60), std::nullopt) << "the wish is the command's to follow now";
}

}  // namespace
}  // namespace glassbox::lab
