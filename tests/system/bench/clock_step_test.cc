// busybox's shell times its cycles with CLOCK_REALTIME. If that clock is set during a run, the launcher must
// give no figures and say why. Runs only in the lab, where setting the clock disturbs no other program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "tests/system/bench/system_test.h"
#include "tools/bench/measure/clock_steps.h"
#include "vmm/base/lab.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void step_ms(long ms) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const long ns = now.tv_sec * 1'000'000'000L + now.tv_nsec + ms * 1'000'000;
  now = {ns / 1'000'000'000, ns % 1'000'000'000};
  ASSERT_EQ(::clock_settime(CLOCK_REALTIME, &now), 0) << std::strerror(errno);
}

class ClockStep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!in_lab()) GTEST_SKIP() << "sets the machine's clock: run it inside the lab (tools/in-lab)";
  }
};

TEST_F(ClockStep, IsDetectedInBothDirectionsAndAtAnySize) {
  for (const long ms : {1L, -1L, 3'600'000L, -3'600'000L}) {
    const auto steps = ClockSteps::watch();
    ASSERT_TRUE(steps.has_value()) << steps.error().message;
    EXPECT_TRUE(steps->check().has_value());
    step_ms(ms);
    EXPECT_FALSE(steps->check().has_value()) << ms;
  }
}

// A step of a few milliseconds looks like a slow client, so durations alone cannot show it.
TEST_F(ClockStep, InvalidatesTheTimesOfAShell) {
  const std::vector<std::vector<std::string>> runs = {
      {"crr", "--stack", "loopback", "--warm-up", "0", "--cycles", "300"},
      {"compare", "--stacks", "loopback", "--workloads", "crr-fork", "--rounds", "1", "--fork-cycles", "300",
       "--no-counts"}};
  for (std::vector<std::string> argv : runs) {
    argv.insert(argv.begin(), program_path("glassbox-bench"));
    const auto bench = Child::start({.what = "glassbox-bench", .argv = argv});
    ASSERT_TRUE(bench.has_value());
    const std::string stage = argv[1] == "crr" ? "glassbox-bench: cycle" : "round 1 of 1";
    while ((*bench)->err().find(stage) == std::string::npos)
      ASSERT_FALSE((*bench)->wait(10)) << (*bench)->err();
    while (!(*bench)->wait(200))
      step_ms(5);
    EXPECT_EQ((*bench)->reap()->code, 1);
    EXPECT_THAT((*bench)->out() + (*bench)->err(), HasSubstr("clock was set while the client timed itself"));
    EXPECT_THAT((*bench)->out(), Not(HasSubstr("crr-fork, us")));
  }
}

// gb-crr times with CLOCK_MONOTONIC, which cannot be set.
TEST_F(ClockStep, DoesNotAffectGbCrr) {
  const auto bench =
      Child::start({.what = "glassbox-bench",
                    .argv = {program_path("glassbox-bench"), "compare", "--stacks", "loopback", "--workloads",
                             "rr", "--rounds", "2", "--cycles", "2000", "--no-counts"}});
  ASSERT_TRUE(bench.has_value());
  while (!(*bench)->wait(20))
    step_ms(1000);
  EXPECT_EQ((*bench)->reap()->code, 0) << (*bench)->out();
  EXPECT_THAT((*bench)->out(), HasSubstr("rr, us"));
}

}  // namespace
}  // namespace glassbox::bench::testing
