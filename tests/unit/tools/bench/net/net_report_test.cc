#include "tools/bench/net/net_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tools/bench/net/exchange.h"
#include "tools/bench/net/explain.h"
#include "tools/bench/stacks/carrier.h"

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

nlohmann::json result_of(const std::vector<NetRow>& rows) {
  return net_json({}, nlohmann::json::object(), rows);
}

nlohmann::json target(const nlohmann::json& result, const std::string& name) {
  for (const auto& one : result["targets"]) {
    if (one["target"] == name) return one;
  }
  ADD_FAILURE() << "no target " << name;
  return {};
}

TEST(NetReport, TargetsAreRatiosToTheBetterPeer) {
  const auto result = result_of({row("pasta", 200), row("slirp4netns", 160), row("netns-off", 128)});
  const auto off = target(result, "CRR p50, --poll off / better peer");
  EXPECT_EQ(off["measured"], 0.8);
  EXPECT_EQ(off["verdict"], "met");
  EXPECT_EQ(target(result, "CRR p50, --poll off / bare")["verdict"], "not measured");
  EXPECT_EQ(target(result_of({row("pasta", 200), row("netns-off", 180)}), off["target"])["verdict"],
            "missed");
  EXPECT_EQ(target(result_of({row("netns-off", 80)}), off["target"])["verdict"], "not measured");
  EXPECT_THAT(net_table(result), HasSubstr("met"));
}

TEST(NetReport, ThroughputTargetsWantMore) {
  const auto with = [](const char* stack, double gbps, double per_second) {
    NetRow one = row(stack, 100);
    one.streams = {{.mtu = 1500, .out = true, .gbps = {gbps}, .refused = {}}};
    one.parallel = {{.flows = 8, .per_second = {per_second}, .refused = {}}};
    return one;
  };
  const auto result = result_of({with("pasta", 4, 5000), with("slirp4netns", 2, 6000), with("relay", 9, 0),
                                 with("netns-adaptive", 6, 5900)});
  EXPECT_EQ(target(result, "stream out, MTU 1500 / better peer")["measured"], 1.5);
  EXPECT_EQ(target(result, "stream out, MTU 1500 / better peer")["verdict"], "met");
  EXPECT_EQ(target(result, "stream out, MTU 1500 / relay")["verdict"], "missed");
  EXPECT_EQ(target(result, "CRR/s, 8 parallel flows / better peer")["verdict"], "missed");
  EXPECT_EQ(target(result, "stream in, MTU 1500 / better peer")["verdict"], "not measured");
}

TEST(NetReport, IdleFlowsHaveTheirOwnBounds) {
  NetRow one = row("netns-adaptive", 100);
  one.idle.emplace();
  one.idle->cpu_percent = 0.1;
  one.idle->resident_kib = 50 * 1024;
  one.idle->loaded = summarize(std::vector<std::uint64_t>(1000, 105'000));
  one.idle->unloaded = summarize(std::vector<std::uint64_t>(1000, 100'000));
  one.idle->half_closed_wakeups_per_s = 0.5;
  const auto result = result_of({one});
  EXPECT_EQ(target(result, "10,000 idle flows: of a core")["verdict"], "met");
  EXPECT_EQ(target(result, "10,000 idle flows: resident")["verdict"], "missed");
  EXPECT_EQ(target(result, "10,000 idle flows: CRR p50 / unloaded")["verdict"], "met");
  EXPECT_EQ(target(result, "half-closed flows: wake-ups a second")["verdict"], "met");
}

TEST(NetReport, PartsOfARunMakeOneResult) {
  NetRow latency = row("netns-adaptive", 90);
  NetRow stream;
  stream.stack = "netns-adaptive";
  stream.version = "1.0";
  stream.streams = {{.mtu = 1500, .out = true, .gbps = {8}, .refused = {}}};
  const auto merged = merge_net_json({result_of({latency, row("pasta", 180)}), result_of({stream})});
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_EQ((*merged)["stacks"].size(), 2U);
  EXPECT_EQ((*merged)["stacks"][0]["crr"]["p50_us"], 90.0);
  EXPECT_EQ((*merged)["stacks"][0]["streams"][0]["gbps_median"], 8.0);
  EXPECT_EQ(target(*merged, "CRR p50, adaptive / better peer")["verdict"], "met");
  NetRow other = stream;
  other.streams = {{.mtu = 1500, .out = true, .gbps = {7}, .refused = {}},
                   {.mtu = 1500, .out = false, .gbps = {9}, .refused = {}}};
  const auto both = merge_net_json({result_of({stream}), result_of({other})});
  ASSERT_TRUE(both);
  ASSERT_EQ((*both)["stacks"][0]["streams"].size(), 2U);
  EXPECT_EQ((*both)["stacks"][0]["streams"][0]["gbps_median"], 8.0) << "the first one's stay";
  EXPECT_EQ((*both)["stacks"][0]["streams"][1]["direction"], "in");
  stream.version = "2.0";
  EXPECT_FALSE(merge_net_json({result_of({latency}), result_of({stream})}));
  EXPECT_FALSE(merge_net_json({nlohmann::json(1)}));
  EXPECT_FALSE(merge_net_json({}));
}

nlohmann::json explanation(const nlohmann::json& subject, double us) {
  return {{"subject", subject}, {"targets", {"some target"}}, {"found", {{"n", 10}, {"us_a_unit", us}}}};
}

TEST(NetReport, AMergedResultExplainsWhatItMisses) {
  auto missed = result_of({row("pasta", 100), row("netns-adaptive", 90)});
  const nlohmann::json crr = {{"stack", "netns-adaptive"}, {"exchange", "crr"}};
  ASSERT_EQ(target(missed, "CRR p50, adaptive / better peer")["subject"], crr);
  const nlohmann::json other = {{"stack", "netns-adaptive"}, {"exchange", "rr"}};
  missed["explanations"] = {explanation(crr, 1), explanation(other, 2)};
  auto again = missed;
  again["explanations"] = {explanation(crr, 3)};
  const auto merged = merge_net_json({missed, again});
  ASSERT_TRUE(merged);
  ASSERT_EQ((*merged)["explanations"].size(), 1U) << "one a subject, and none for what is not missed";
  EXPECT_EQ((*merged)["explanations"][0]["found"]["us_a_unit"], 1);
  EXPECT_THAT(net_table(*merged), HasSubstr("crr on netns-adaptive (for: some target)"));
}

TEST(Explain, TheLargestSegmentsComeFirst) {
  nlohmann::json report = {{"total", {{"p50_us", 140.0}}},
                           {"probe_tax", {{"share", 0.1}}},
                           {"unattributed_share", 0.0},
                           {"verdicts",
                            {{{"claim", "it is late"}, {"outcome", "confirmed"}, {"evidence", "33 %"}},
                             {{"claim", "it is lost"}, {"outcome", "falsified"}}}}};
  for (int i = 0; i < 12; ++i) {
    report["segments"].push_back(
        {{"label", fmt::format("segment {}", i)},
         {"side", "host"},
         {"share", i == 0 ? nlohmann::json() : nlohmann::json(0.01 * i)},
         {"p50_us", 1.0 * i},
         {"states", {{"running_us", 2.5}, {"runnable_us", 7.5}, {"blocked_us", 0}}}});
  }
  const auto summary = summary_of_trace(report);
  ASSERT_EQ(summary["segments"].size(), 8U);
  EXPECT_EQ(summary["segments"][0]["label"], "segment 11");
  EXPECT_EQ(summary["confirmed"].size(), 1U);
  auto one = explanation({{"stack", "netns-off"}, {"exchange", "crr"}}, 100);
  one["found"]["trace"] = summary;
  const std::string table = explanation_table(nlohmann::json::array({one}));
  EXPECT_THAT(table, HasSubstr("segment 11"));
  EXPECT_THAT(table, HasSubstr("7.5"));
  EXPECT_THAT(table, HasSubstr("confirmed: it is late: 33 %"));
  EXPECT_EQ(summary_of_trace(nlohmann::json::object())["segments"].size(), 0U);
}

TEST(NetReport, ARefusedRowHasItsReasonAndNoFigures) {
  NetRow refused;
  refused.stack = "pasta";
  refused.refused = "not installed: apt-get install passt";
  const auto json = result_of({refused});
  EXPECT_THAT(net_table(json), HasSubstr("not installed: apt-get install passt"));
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
