// Targets of the stacks without a guest, and what explains a missed one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/report/json.h"
#include "tools/bench/report/missed_targets.h"
#include "tools/bench/report/targets.h"
#include "tools/bench/report/text.h"
#include "tools/bench/report/trace_summary.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

void add(CompareResult& result, const std::string& stack, const std::string& workload, std::uint64_t us) {
  for (Row& row : result.rows) {
    if (row.label == stack) {
      row.cells[workload].rounds = Rounds(8, std::vector<std::uint64_t>(100, us * 1000));
      return;
    }
  }
  Row& row = result.rows.emplace_back();
  row.label = stack;
  row.entry = find_stack(stack);
  result.spec.stacks.push_back(stack);
  row.cells[workload].rounds = Rounds(8, std::vector<std::uint64_t>(100, us * 1000));
}

Target target(const CompareResult& result, const std::string& what) {
  for (const Target& one : targets_of(result)) {
    if (one.what == what) return one;
  }
  ADD_FAILURE() << "no target " << what;
  return {};
}

bool has(const CompareResult& result, const std::string& what) {
  const auto all = targets_of(result);
  return std::any_of(all.begin(), all.end(), [&](const Target& one) { return one.what == what; });
}

TEST(NativeTargets, AreRatiosToTheBetterPeer) {
  CompareResult result;
  result.spec.workloads = {"crr"};
  result.machine = nlohmann::json::object();
  add(result, "pasta", "crr", 200);
  add(result, "slirp4netns", "crr", 160);
  add(result, "glassbox-netns-off", "crr", 128);
  const std::string what = "CRR p50 without a guest, --poll off";
  EXPECT_DOUBLE_EQ(*target(result, what).ratio(), 0.8);
  EXPECT_EQ(target(result, what).peer, "slirp4netns");
  EXPECT_TRUE(target(result, what).met());
  EXPECT_FALSE(has(result, what + ", against the floor")) << "bare is not part of the run";
  add(result, "glassbox-netns-off", "crr", 180);
  EXPECT_TRUE(is_missed(target(result, what)));
  add(result, "bare", "crr", 170);
  EXPECT_TRUE(target(result, what + ", against the floor").met());
  result.rows[2].cells["crr"].failed = "broke";
  EXPECT_FALSE(is_missed(target(result, what)));
  EXPECT_THAT(describe(target(result, what)), HasSubstr("glassbox-netns-off has no figure"));
}

TEST(NativeTargets, RatesWantMore) {
  CompareResult result;
  result.spec.workloads = {"stream-out", "connect-rate"};
  result.spec.flows = {8};
  add(result, "pasta", "stream-out", 600);
  add(result, "slirp4netns", "stream-out", 900);
  add(result, "relay", "stream-out", 300);
  add(result, "glassbox-netns", "stream-out", 400);
  add(result, "pasta", "connect-rate 8", 100);
  add(result, "glassbox-netns", "connect-rate 8", 101);
  const Target peers = target(result, "stream-out, MTU 65520");
  EXPECT_DOUBLE_EQ(*peers.ratio(), 1.5);
  EXPECT_TRUE(peers.met());
  EXPECT_TRUE(is_missed(target(result, "stream-out, MTU 65520, against the relay")));
  EXPECT_TRUE(is_missed(target(result, "connect-rate 8 without a guest")));
  EXPECT_FALSE(has(result, "stream-in, MTU 65520")) << "not part of the run";
  EXPECT_THAT(describe(peers), HasSubstr("of pasta: 1.50x, at least 1.50x: met"));
}

TEST(NativeTargets, OpenFlowsAndSystemCallsHaveFixedBounds) {
  CompareResult result;
  result.spec.workloads = {"crr", "idle-flows", "half-closed"};
  result.machine = nlohmann::json::object();
  add(result, "glassbox-netns", "crr", 100);
  add(result, "glassbox-netns", "idle-flows", 105);
  add(result, "glassbox-netns", "half-closed", 100);
  add(result, "glassbox-netns-off", "crr", 100);
  auto& cells = result.rows[0].cells;
  cells["idle-flows"].quiet = {{0.1, 0, 50 * 1024}, {0.2, 0, 50 * 1024}, {3, 0, 50 * 1024}};
  cells["half-closed"].quiet = {{0, 0.5, 0}};
  EXPECT_TRUE(target(result, "10000 idle flows: CPU time").met()) << "the median of the rounds";
  EXPECT_TRUE(is_missed(target(result, "10000 idle flows: resident memory")));
  EXPECT_TRUE(target(result, "10000 idle flows: CRR p50 over that without them").met());
  EXPECT_TRUE(target(result, "two half-closed flows: wake-ups").met());
  EXPECT_THAT(describe(target(result, "10000 idle flows: resident memory")),
              HasSubstr("50.00 MiB, at most 40 MiB: MISSED"));
  EXPECT_THAT(compare_text(result),
              HasSubstr("glassbox-netns, idle-flows: before the cycles, the NAT took 0.20 %"));
  const std::string calls = "system calls per CRR, --poll off";
  EXPECT_FALSE(target(result, calls).value()) << "not counted";
  result.rows[1].cells["crr"].kernel.emplace().calls = 25;
  EXPECT_TRUE(is_missed(target(result, calls)));
  result.rows[1].cells["crr"].kernel->calls = 24;
  EXPECT_TRUE(target(result, calls).met());
}

TEST(NativeTargets, AMissSaysHowClientNatAndServerSpentTheirTime) {
  CompareResult result;
  result.spec.workloads = {"crr"};
  result.machine = nlohmann::json::object();
  add(result, "pasta", "crr", 100);
  add(result, "glassbox-netns", "crr", 90);
  NativeExplanation found;
  found.shares = {{"client", 0.36, 0.12, 0.52}, {"NAT", 0.96, 0.04, 0}};
  found.trace = {{"segments",
                  {{{"side", "host"},
                    {"label", "host connect()"},
                    {"share", 0.22},
                    {"p50_us", 31.0},
                    {"states", {{"running_us", 2.5}, {"runnable_us", 7.5}, {"blocked_us", 0}}}}}}};
  result.rows[1].cells["crr"].explanation = found;
  const auto lines = explain_target(result, target(result, "CRR p50 without a guest"));
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(
      lines[0],
      "untraced: client running 36 %, without a core 12 %, blocked 52 %; NAT running 96 %, without a core 4 %, "
      "blocked 0 %");
  EXPECT_EQ(
      lines[1],
      "traced, 22.0 % of a CRR: host, host connect(): p50 31.0 us (running 2.5, without a core 7.5, blocked "
      "0.0)");
  EXPECT_THAT(compare_text(result), HasSubstr("MISSED\n    untraced: client running 36 %"));
  EXPECT_EQ(compare_json(result)["stacks"][1]["workloads"]["crr"]["explanation"]["shares"].size(), 2u);
}

TEST(TraceSummary, TheLargestSegmentsComeFirst) {
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
  EXPECT_EQ(summary_of_trace(nlohmann::json::object())["segments"].size(), 0U);
}

}  // namespace
}  // namespace glassbox::bench
