#include "tools/bench/measure/fork_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(std::string_view output, std::uint32_t cycles) {
  const auto times = parse_fork_loop(output, cycles, 1);
  return times ? "" : times.error().message;
}

TEST(ParseFork, TakesDifferencesInNanoseconds) {
  const auto times = parse_fork_loop(
      "cycle 1795520724.999990 1795520725.000010 0\n"
      "cycle 1795520725.1 1795520725.25 0\nreplies AA\n",
      2, 1);
  ASSERT_TRUE(times.has_value()) << times.error().message;
  EXPECT_THAT(*times, ElementsAre(20'000, 150'000'000));
}

TEST(ParseFork, AFailedCycleHasNoFigures) {
  EXPECT_THAT(error_of("cycle 1.0 1.1 0\ncycle 1.2 1.3 1\nreplies A\n", 2),
              HasSubstr("cycle 2 failed: nc exited 1"));
}

TEST(ParseFork, AMissingReplyHasNoFigures) {
  EXPECT_THAT(error_of("cycle 1.0 1.1 0\ncycle 1.2 1.3 0\nreplies A\n", 2),
              HasSubstr("1 of 2 cycles got no reply"));
  EXPECT_THAT(error_of("cycle 1.0 1.1 0\nreplies \n", 1), HasSubstr("1 of 1"));
}

TEST(ParseFork, AWrongReplyHasNoFigures) {
  EXPECT_THAT(error_of("cycle 1.0 1.1 0\nreplies B\n", 1), HasSubstr("not the request"));
}

TEST(ParseFork, TruncatedOutputIsNoticed) {
  EXPECT_THAT(error_of("cycle 1.0 1.1 0\n", 2), HasSubstr("1 of 2 cycles and did not end"));
  EXPECT_THAT(error_of("", 2), HasSubstr("0 of 2"));
  EXPECT_THAT(error_of("cycle 1.0 1.1\nreplies A\n", 1), HasSubstr("cannot read"));
}

TEST(ParseFork, ClockGoingBackwardsIsNoticed) {
  EXPECT_THAT(error_of("cycle 1.2 1.1 0\nreplies A\n", 1), HasSubstr("cycle 1"));
  EXPECT_THAT(error_of("cycle 1 2.1 0\nreplies A\n", 1), HasSubstr("cycle 1"));
}

TEST(ForkLoop, PassesServerAndCount) {
  const auto words = fork_loop_arguments("10.0.2.2", 7, 200, 1);
  ASSERT_EQ(words.size(), 7u);
  EXPECT_THAT(std::vector<std::string>(words.end() - 5, words.end()),
              ElementsAre("crr", "10.0.2.2", "7", "200", "A"));
  EXPECT_EQ(fork_loop_arguments("h", 7, 1, 4).back(), "AAAA");
}

}  // namespace
}  // namespace glassbox::bench
