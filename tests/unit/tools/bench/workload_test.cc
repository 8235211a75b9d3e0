#include "tools/bench/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(WorkloadKind kind, std::string_view output, std::uint32_t cycles) {
  const auto times = parse_client(kind, output, cycles);
  return times ? "" : times.error().message;
}

TEST(ParseFork, TakesDifferencesInNanoseconds) {
  const auto times = parse_client(WorkloadKind::kFork,
                                  "cycle 1795520724.999990 1795520725.000010 0\n"
                                  "cycle 1795520725.1 1795520725.25 0\nreplies AA\n",
                                  2);
  ASSERT_TRUE(times.has_value()) << times.error().message;
  EXPECT_THAT(*times, ElementsAre(20'000, 150'000'000));
}

TEST(ParseFork, AFailedCycleHasNoFigures) {
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1 0\ncycle 1.2 1.3 1\nreplies A\n", 2),
              HasSubstr("cycle 2 failed: nc exited 1"));
}

TEST(ParseFork, AMissingReplyHasNoFigures) {
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1 0\ncycle 1.2 1.3 0\nreplies A\n", 2),
              HasSubstr("1 of 2 cycles got no reply"));
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1 0\nreplies \n", 1), HasSubstr("1 of 1"));
}

TEST(ParseFork, AWrongReplyHasNoFigures) {
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1 0\nreplies B\n", 1), HasSubstr("not the request"));
}

TEST(ParseFork, TruncatedOutputIsNoticed) {
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1 0\n", 2),
              HasSubstr("1 of 2 cycles and did not end"));
  EXPECT_THAT(error_of(WorkloadKind::kFork, "", 2), HasSubstr("0 of 2"));
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.0 1.1\nreplies A\n", 1), HasSubstr("cannot read"));
}

TEST(ParseFork, ClockGoingBackwardsIsNoticed) {
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1.2 1.1 0\nreplies A\n", 1), HasSubstr("cycle 1"));
  EXPECT_THAT(error_of(WorkloadKind::kFork, "cycle 1 2.1 0\nreplies A\n", 1), HasSubstr("cycle 1"));
}

TEST(ParseSingle, TakesTheDurations) {
  const auto times =
      parse_client(WorkloadKind::kSingle,
                   R"({"cycles":2,"failed":0,"payload_bytes":1,"cycle_ns":[[5,71000],[80000,68000]]})", 2);
  ASSERT_TRUE(times.has_value()) << times.error().message;
  EXPECT_THAT(*times, ElementsAre(71'000, 68'000));
}

TEST(ParseSingle, MissingOrBrokenCyclesAreNoticed) {
  EXPECT_THAT(error_of(WorkloadKind::kSingle, R"({"cycle_ns":[[5,71000]]})", 2), HasSubstr("1 of 2"));
  EXPECT_THAT(error_of(WorkloadKind::kSingle, R"({"cycle_ns":[[5,71000],[6]]})", 2), HasSubstr("cycle 2"));
  EXPECT_THAT(error_of(WorkloadKind::kSingle, R"({"cycle_ns":[[5,-1]]})", 1), HasSubstr("cycle 1"));
  EXPECT_THAT(error_of(WorkloadKind::kSingle, R"({"cycle_ns":[[5,71)", 1), HasSubstr("cannot read"));
  EXPECT_THAT(error_of(WorkloadKind::kSingle, "", 1), HasSubstr("cannot read"));
}

TEST(ClientCommand, PassesTargetAndCount) {
  EXPECT_THAT(client_command(WorkloadKind::kSingle, {"10.0.2.2", 7}, 200, {"sh"}, "gb-crr"),
              ElementsAre("gb-crr", "10.0.2.2", "7", "--cycles", "200"));
  const auto fork = client_command(WorkloadKind::kFork, {"10.0.2.2", 7}, 200, {"busybox", "sh"}, "gb-crr");
  ASSERT_EQ(fork.size(), 9u);
  EXPECT_THAT(std::vector<std::string>(fork.end() - 5, fork.end()),
              ElementsAre("crr", "10.0.2.2", "7", "200", "A"));
  EXPECT_EQ(client_command(WorkloadKind::kFork, {"h", 7}, 1, {"sh"}, {}, 4).back(), "AAAA");
}

}  // namespace
}  // namespace glassbox::bench
