// Targets against the better peer, and what a missed one says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/bench/report/samples.h"
#include "tools/bench/report/json.h"
#include "tools/bench/report/missed_targets.h"
#include "tools/bench/report/targets.h"
#include "tools/bench/report/text.h"

namespace glassbox::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(Targets, AreAgainstTheBetterPeerOfEachFigure) {
  const auto targets = targets_of(sample());
  ASSERT_EQ(targets.size(), 3u);
  EXPECT_EQ(targets[0].peer, "qemu-passt");  // fewer exits
  EXPECT_NEAR(*targets[0].ratio(), 4.0 / 9, 1e-9);
  EXPECT_TRUE(targets[0].met());
  EXPECT_EQ(targets[2].peer, "qemu-slirp");  // the faster
  EXPECT_THAT(describe(targets[0]), HasSubstr("0.44x, at most 0.50x: met"));
}

TEST(Targets, AMissKeepsBothFigures) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].process.exits = 890;
  const auto text = describe(targets_of(result)[0]);
  EXPECT_THAT(text, HasSubstr("8.9 against 9.0 of qemu-passt: 0.99x, at most 0.50x: MISSED"));
}

TEST(Targets, AMissNamesTheSegmentsOfTheTracedRunAndAHitDoesNot) {
  CompareResult result = sample();
  result.spec.workloads = {"crr", "rr"};
  for (Row& row : result.rows)
    row.cells["rr"].rounds = moody(1000, 8, 1, 5);
  result.traced = {
      {"segments",
       {{{"id", "host_connect"}, {"side", "host"}, {"label", "L1"}, {"p50_us", 10.0}, {"share", 0.5}},
        {{"id", "irq_reply"}, {"side", "cross"}, {"label", "L2"}, {"p50_us", 7.0}, {"share", 0.2}}}}};
  result.rows[0].cells["crr"].process.exits = 890;
  KernelCounts counts;
  counts.by_reason = {{"hlt", 2.7}};
  result.rows[0].cells["crr"].kernel = result.rows[2].cells["crr"].kernel = counts;
  const auto targets = targets_of(result);
  ASSERT_EQ(targets.size(), 4u);
  EXPECT_THAT(
      explain_target(result, targets[0]),
      ElementsAre("exits: hlt 2.7; qemu-passt: hlt 2.7", "traced, 50.0 % of a CRR: host, L1: p50 10 us",
                  "traced, 20.0 % of a CRR: cross, L2: p50 7 us"));
  EXPECT_THAT(explain_target(result, targets[2]), ElementsAre());  // CRR p50 is met
  EXPECT_THAT(explain_target(result, targets[3]),
              ElementsAre("traced, 20.0 % of a CRR: cross, L2: p50 7 us"));
  EXPECT_THAT(compare_text(result), HasSubstr("MISSED\n    exits: hlt 2.7"));
  EXPECT_EQ(compare_json(result)["targets"][3]["held_by"].size(), 1u);
  result.traced = nullptr;
  result.trace_missing = "no root";
  EXPECT_THAT(explain_target(result, targets[3]), ElementsAre("not traced: no root"));
}

TEST(Targets, ATracedRunIsShownBesideWhatItExplains) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].rounds = result.rows[1].cells["crr"].rounds;
  const auto p50_us =
      static_cast<double>(*summarize(pooled(result.rows[0].cells["crr"].rounds)).p50_ns) / 1e3;
  const auto held = [&](double traced_us) {
    result.traced_tries = 3;
    result.traced = {{"segments", nlohmann::json::array()},
                     {"probe_tax", {{"compared", {{"traced_p50_us", traced_us}, {"untraced_p50_us", 3.0}}}}}};
    return explain_target(result, targets_of(result)[2]);
  };
  const std::string in_the_rounds = fmt::format(", in the rounds {:.0f}", p50_us);
  EXPECT_THAT(held(p50_us * 2.9), ElementsAre(EndsWith("untraced around it 3" + in_the_rounds)));
  EXPECT_THAT(held(p50_us * 10),
              ElementsAre(HasSubstr(in_the_rounds + ": 10.0 times as slow in 3 tries, no explanation")));
  result.rows[0]
      .cells["crr"]
      .rounds.clear();  // only RR was measured: its own untraced cycles are the measure
  result.spec.workloads = {"rr"};
  for (Row& row : result.rows)
    row.cells["rr"].rounds = moody(1000, 8, 1, 5);
  result.traced["probe_tax"]["compared"]["traced_p50_us"] = 12.0;
  result.traced_tries = 1;  // a signal came
  EXPECT_THAT(explain_target(result, targets_of(result)[0]),
              ElementsAre("traced run: CRR p50 12 us, untraced around it 3: 4.0 times as slow in 1 try, no "
                          "explanation of these times"));
}

TEST(Targets, ATracedRunThatWasHeldUpIsTakenAgain) {
  const auto traced = [](std::vector<double> runs_us) {
    CompareResult result = sample();
    result.rows[0].cells["crr"].rounds = result.rows[1].cells["crr"].rounds;  // CRR's target is missed
    const auto p50_us =
        static_cast<double>(*summarize(pooled(result.rows[0].cells["crr"].rounds)).p50_ns) / 1e3;
    Progress progress;
    std::size_t taken = 0;
    const auto run = [&]() -> Result<nlohmann::json> {
      if (taken == runs_us.size()) return fail("no more");
      const double us = runs_us[taken++] * p50_us;
      return nlohmann::json{
          {"probe_tax", {{"compared", {{"traced_p50_us", us}, {"untraced_p50_us", p50_us}}}}}};
    };
    trace_missed_targets(result, run, progress);
    EXPECT_EQ(result.traced_tries, static_cast<int>(taken));
    if (!result.traced.is_object()) return std::make_pair(result.traced_tries, 0.0);
    const double kept_us = result.traced["probe_tax"]["compared"]["traced_p50_us"];
    return std::make_pair(result.traced_tries, kept_us / p50_us);
  };
  const auto of = [](int tries, double times) {
    return ::testing::Pair(tries, ::testing::DoubleNear(times, 1e-6));
  };
  EXPECT_THAT(traced({1.8, 1.5}), of(1, 1.8));
  EXPECT_THAT(traced({10, 1.8, 1.5}), of(2, 1.8));
  EXPECT_THAT(traced({10, 5, 7, 1.5}), of(3, 5));
  EXPECT_THAT(traced({10}), of(1, 10));  // and then it fails
  EXPECT_THAT(traced({}), of(0, 0));
}

TEST(Targets, AMissedBootTellsItsStages) {
  CompareResult result = sample();
  result.spec.workloads = {"boot"};
  const auto boot = [&](const char* label, std::uint64_t first_ns) -> BootRow& {
    BootRow& row = result.boots.emplace_back();
    row.label = label;
    row.ready = row.first_entry = {{first_ns}};
    return row;
  };
  boot("glassbox", 300'000'000).stages = {{1, {{100'000'000}}}, {2, {{290'000'000}}}};
  boot("qemu-slirp", 400'000'000);
  const auto targets = targets_of(result);
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_THAT(explain_target(result, targets[0]),
              ElementsAre("until machine created: 100.0 ms more", "until kernel loaded: 190.0 ms more"));
  EXPECT_THAT(explain_target(result, targets[1]), ElementsAre());
  result.boots[1].refused = "did not boot again";  // what it showed before is no figure of so many boots
  EXPECT_THAT(describe(targets_of(result)[0]), HasSubstr("no QEMU stack has a figure"));
}

TEST(Targets, AFailedWorkloadHasNoFigure) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].failed = "broke";
  EXPECT_FALSE(targets_of(result)[0].met());
  EXPECT_THAT(describe(targets_of(result)[0]), HasSubstr("glassbox has no figure"));
}

}  // namespace
}  // namespace glassbox::bench
