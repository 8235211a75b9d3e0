#include "tools/bench/measure/time_split.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "vmm/base/clock.h"

namespace glassbox::bench {
namespace {

TEST(TimeSplit, CpuTimeOfThisProcessGrows) {
  const auto before = sched_time(::getpid());
  ASSERT_TRUE(before);
  const std::uint64_t until_ns = monotonic_ns() + 20 * kNsPerMs;
  while (monotonic_ns() < until_ns) {
  }
  EXPECT_GT(sched_time(::getpid())->running_ns, before->running_ns);
  EXPECT_FALSE(sched_time(-1));
}

TEST(TimeSplit, WhatIsNeitherRunningNorRunnableIsBlocked) {
  const TimeShare share = time_share("NAT", {100, 10}, {400, 210}, 1000);
  EXPECT_EQ(share.who, "NAT");
  EXPECT_DOUBLE_EQ(share.running, 0.3);
  EXPECT_DOUBLE_EQ(share.runnable, 0.2);
  EXPECT_DOUBLE_EQ(share.blocked, 0.5);
  EXPECT_EQ(time_share("NAT", {0, 0}, {2000, 0}, 1000).blocked, 0) << "two threads at once";
}

}  // namespace
}  // namespace glassbox::bench
