// How long a comparison says that it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/report/estimate.h"
#include "tools/bench/stacks/stack_list.h"
#include "tools/bench/workload.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Spec everything() {
  Spec spec;
  spec.stacks = stack_names(true);
  spec.workloads = workload_names(true);
  return spec;
}

TEST(Estimate, TheDefaultsFinishInMinutesWhereNothingIsEmulated) {
  const Spec spec = everything();
  EXPECT_LT(estimate(spec, false).total(spec.rounds), 5 * 60);
}

TEST(Estimate, ALongRunInTheLabSaysSoAndWhatIsShorter) {
  Spec spec = everything();
  EXPECT_THAT(announce(spec, true), HasSubstr("in the lab"));
  EXPECT_THAT(announce(spec, true), HasSubstr("--rounds 2 --boot-rounds 2 --no-counts about "));
  spec.stacks = {"loopback"};
  spec.workloads = {"rr"};
  EXPECT_THAT(announce(spec, false), Not(HasSubstr("--rounds")));
  EXPECT_EQ(announce(spec, false), "1 stack, 8 rounds: less than a minute");
}

TEST(Estimate, EveryPartCosts) {
  Spec spec = everything();
  const Estimate whole = estimate(spec, true);
  EXPECT_GT(whole.boots, 0);
  EXPECT_GT(whole.traced, 0);
  EXPECT_GT(whole.counts, 0);
  spec.counts = false;
  spec.trace_missed = false;
  spec.workloads = {"crr"};
  const Estimate little = estimate(spec, true);
  EXPECT_EQ(little.boots, 0);
  EXPECT_EQ(little.traced, 0);
  EXPECT_EQ(little.counts, 0);
  EXPECT_LT(little.round, whole.round);
}

// Within a factor of two of runs that were timed, two cores: natively all workloads of five stacks 15 s, in
// the lab the defaults 14 min, a short run 25 s.
TEST(Estimate, IsNearToWhatWasMeasured) {
  Spec spec = everything();
  EXPECT_NEAR(estimate(spec, true).total(spec.rounds) / 60, 14, 7);
  spec.stacks = {"glassbox-netns", "pasta", "slirp4netns", "veth", "loopback"};
  EXPECT_NEAR(estimate(spec, false).total(spec.rounds), 15, 7.5);
  spec.stacks = {"glassbox", "qemu-slirp"};
  spec.workloads = {"rr"};
  spec.rounds = 1;
  spec.cycles = 8;
  EXPECT_NEAR(estimate(spec, true).total(spec.rounds), 25, 12);
  EXPECT_EQ(announce(spec, true),
            "2 stacks, 1 round: less than a minute in the lab, where everything is emulated, and about 2 min "
            "more where a target is missed");
}

// Of a run that is twice as slow as expected, what is left is twice as long as well.
TEST(Estimate, WhatIsLeftGoesByTheRoundsSoFar) {
  Spec spec;
  spec.rounds = 4;
  const Estimate expected{100, 10, 30, 0, 1000};
  EXPECT_DOUBLE_EQ(left_s(expected, spec, 0, 0), 4 * 10 + 30);
  EXPECT_DOUBLE_EQ(left_s(expected, spec, 1, 20), 2 * (3 * 10 + 30));
  EXPECT_DOUBLE_EQ(left_s(expected, spec, 3, 15), (10 + 30) / 2.0);
}

TEST(Estimate, IsSaidInMinutes) {
  EXPECT_EQ(about(0), "less than a minute");
  EXPECT_EQ(about(29), "less than a minute");
  EXPECT_EQ(about(31), "about 1 min");
  EXPECT_EQ(about(22 * 60.0), "about 22 min");
  EXPECT_EQ(about(3 * 3600.0), "about 3 h");
}

}  // namespace
}  // namespace glassbox::bench
