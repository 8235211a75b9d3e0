#include "tools/bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(FormatTime, HasThreeDigits) {
  EXPECT_EQ(format_time(1'234), "1.23 us");
  EXPECT_EQ(format_time(9'996), "10.0 us");
  EXPECT_EQ(format_time(71'040), "71.0 us");
  EXPECT_EQ(format_time(812'000), "812 us");
  EXPECT_EQ(format_time(999'800), "1.00 ms");
  EXPECT_EQ(format_time(8'512'000), "8.51 ms");
  EXPECT_EQ(format_time(1'500'000'000), "1.50 s");
  EXPECT_EQ(format_time(0), "0.00 us");
}

TEST(FormatTime, WhatMayNotBeStatedIsADash) {
  EXPECT_EQ(format_time(std::nullopt), "-");
}

TEST(TextReport, SaysWhatWasMeasuredAndOnWhat) {
  CrrResult result;
  result.spec.server = {ServerKind::kPoll, 40, 0};
  result.cycle_ns.assign(200, 8'510'000);
  const std::string text = text_report(result, summarize(result.cycle_ns), "a machine");
  EXPECT_THAT(
      text, HasSubstr("glassbox crr: 200 cycles, one process per cycle, echo server on the host that polls"));
  EXPECT_THAT(text, HasSubstr("machine: a machine\n"));
  EXPECT_THAT(text, HasSubstr("after 10 warm-up cycles: n 200, p50 8.51 ms, p90 8.51 ms, max 8.51 ms"));
  EXPECT_THAT(text, Not(HasSubstr("p99")));
}

}  // namespace
}  // namespace glassbox::bench
