#include "tools/bench/report/crr_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextReport, SaysWhatWasMeasuredAndOnWhat) {
  CrrResult result;
  result.spec = crr_defaults();
  result.spec.server = {ServerKind::kPoll, 40, 0};
  result.machine = {{"kind", "lab"}, {"cpu", "a CPU"}};
  result.cycle_ns.assign(200, 8'510'000);
  const std::string text = text_report(result, summarize(result.cycle_ns));
  EXPECT_THAT(
      text, HasSubstr("glassbox crr: 200 cycles, one process per cycle, echo server on the host that polls"));
  EXPECT_THAT(text, HasSubstr("machine: lab (nested KVM"));
  EXPECT_THAT(text, HasSubstr("after 10 warm-up cycles: n 200, p50 8.51 ms, p90 8.51 ms, max 8.51 ms"));
  EXPECT_THAT(text, Not(HasSubstr("p99")));
}

TEST(JsonReport, HasTheClientsFiguresAndNoOthers) {
  CrrResult result;
  result.spec = crr_defaults();
  result.machine = {{"kind", "lab"}};
  result.cycle_ns.assign(200, 8'510'000);
  const auto json = json_report(result, summarize(result.cycle_ns));
  EXPECT_DOUBLE_EQ(json["client"]["p50_us"], 8510);
  EXPECT_EQ(json["machine"]["kind"], "lab");
  EXPECT_EQ(json["workload"]["name"], "fork");
  EXPECT_TRUE(json["total"]["p50_us"].is_null());
  EXPECT_TRUE(json["unattributed_share"].is_null());
  EXPECT_TRUE(json["segments"].empty());
}

}  // namespace
}  // namespace glassbox::bench
