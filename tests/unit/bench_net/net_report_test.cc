#include "tools/bench/net/net_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tools/bench/net/carrier.h"
#include "tools/bench/net/exchange.h"

namespace glassbox::bench {
namespace {

using testing::HasSubstr;

NetRow row(const std::string& stack, std::uint64_t crr_us) {
  NetRow one;
  one.stack = stack;
  one.program = "/bin/" + stack;
  one.version = "1.0";
  one.crr = Latency{summarize(std::vector<std::uint64_t>(1000, crr_us * 1000)), 5000};
  return one;
}

TEST(NetReport, RatioIsToTheBetterPeer) {
  const std::vector<NetRow> rows = {row("pasta", 200), row("slirp4netns", 160), row("netns-off", 80)};
  EXPECT_EQ(better_peer_us(rows, true), 160.0);
  EXPECT_FALSE(better_peer_us(rows, false));
  EXPECT_FALSE(better_peer_us({row("netns-off", 80)}, true));
  EXPECT_THAT(net_table(nlohmann::json::object(), rows), HasSubstr("0.50"));
}

TEST(NetReport, ARefusedRowHasItsReasonAndNoFigures) {
  NetRow refused;
  refused.stack = "pasta";
  refused.refused = "not installed: apt-get install passt";
  EXPECT_THAT(net_table(nlohmann::json::object(), {refused}),
              HasSubstr("not installed: apt-get install passt"));
  const auto json = net_json({}, nlohmann::json::object(), {refused});
  EXPECT_EQ(json["stacks"][0]["refused"], refused.refused);
  EXPECT_TRUE(json["stacks"][0]["crr"].is_null());
  EXPECT_TRUE(json["stacks"][0]["system_calls_per_crr"].is_null());
}

TEST(NetReport, P99OnlyFromAThousandSamples) {
  NetRow few = row("pasta", 100);
  few.crr = Latency{summarize(std::vector<std::uint64_t>(999, 100'000)), 0};
  EXPECT_TRUE(net_json({}, nlohmann::json::object(), {few})["stacks"][0]["crr"]["p99_us"].is_null());
  EXPECT_EQ(net_json({}, nlohmann::json::object(), {row("pasta", 100)})["stacks"][0]["crr"]["p99_us"], 100.0);
}

TEST(NetReport, MedianIsAMeasuredValue) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2);
  EXPECT_EQ(median({}), 0);
}

TEST(Carrier, AProcessWithoutTheDeviceIsNotOne) {
  const auto found = find_carrier(::getpid(), "eth0", "glassbox");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("eth0"));
}

TEST(Carrier, CpuTimeOfOurselvesGrows) {
  const auto before = cpu_ns(::getpid());
  ASSERT_TRUE(before);
  const std::uint64_t until_ns = monotonic_ns() + 20'000'000;
  while (monotonic_ns() < until_ns) {
  }
  EXPECT_GT(*cpu_ns(::getpid()), *before);
}

}  // namespace
}  // namespace glassbox::bench
