#include "tools/bench/report/describe.h"

#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

CrrResult a_run(std::size_t cycles) {
  CrrResult result;
  result.spec = crr_defaults();
  result.spec.workloads = {"crr"};
  result.spec.server = {ServerKind::kPoll, 40, 0};
  result.spec.cycles = static_cast<std::uint32_t>(cycles);
  result.port = 7777;
  result.cycle_ns.assign(cycles, 1'234'500);
  return result;
}

TEST(Describe, NamesTheWorkloadAsTheOptionsDo) {
  const CrrResult result = a_run(200);
  const auto json = describe(result, summarize(result.cycle_ns));
  EXPECT_EQ(json["workload"]["name"], "single");
  EXPECT_EQ(json["workload"]["server"], "poll:40");
  EXPECT_EQ(json["workload"]["cycles"], 200);
}

TEST(Describe, ClientTimesAreMicroseconds) {
  const CrrResult result = a_run(200);
  const auto json = describe(result, summarize(result.cycle_ns));
  EXPECT_EQ(json["client"]["n"], 200);
  EXPECT_DOUBLE_EQ(json["client"]["p50_us"], 1234.5);
  EXPECT_DOUBLE_EQ(json["client"]["median_interval"]["low_us"], 1234.5);
  EXPECT_EQ(json["client_cycle_ns"].size(), 200u);
}

TEST(Describe, WhatMayNotBeStatedIsNull) {
  const CrrResult result = a_run(4);
  const auto json = describe(result, summarize(result.cycle_ns));
  EXPECT_TRUE(json["client"]["p99_us"].is_null());
  EXPECT_TRUE(json["client"]["median_interval"].is_null());
}

TEST(Describe, UntracedCyclesGiveTheCostOfTracing) {
  CrrResult result = a_run(50);
  EXPECT_FALSE(describe(result, summarize(result.cycle_ns)).contains("tracing_cost"));
  result.untraced_ns.assign(40, 1'000'000);
  const auto cost = describe(result, summarize(result.cycle_ns))["tracing_cost"];
  EXPECT_EQ(cost["untraced_n"], 40);
  EXPECT_DOUBLE_EQ(cost["difference_us"], 234.5);
  EXPECT_DOUBLE_EQ(cost["low_us"], 234.5);
  EXPECT_GE(cost["confidence"], 0.95);
  result.untraced_ns.resize(3);
  EXPECT_FALSE(describe(result, summarize(result.cycle_ns))["tracing_cost"].contains("low_us"));
}

TEST(Describe, FitsAChunkOfTheTrace) {
  const CrrResult result = a_run(kMaxCycles);
  EXPECT_LT(describe(result, summarize(result.cycle_ns)).dump().size(), std::size_t{1} << 20);
  const CrrResult listed = a_run(50'000);
  EXPECT_LT(describe(listed, summarize(listed.cycle_ns)).dump().size(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace glassbox::bench
