// The table, the Markdown and the JSON of a comparison.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/tools/bench/report/samples.h"
#include "tools/bench/report/json.h"
#include "tools/bench/report/table.h"
#include "tools/bench/report/text.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(CompareReport, StatesNoP99OfFewerThanAThousand) {
  CompareResult result = sample();
  const auto of = [&](const char* what) {
    return compare_json(result)["stacks"][0]["workloads"]["crr"][what];
  };
  EXPECT_EQ(of("n"), 800);
  EXPECT_TRUE(of("p99_us").is_null());
  EXPECT_TRUE(of("p999_us").is_null());
  result.rows[0].cells["crr"].rounds = moody(1000, 10, 1, 5);
  EXPECT_FALSE(of("p99_us").is_null());
  EXPECT_TRUE(of("p999_us").is_null());
  EXPECT_FALSE(of("median_interval_us").is_null());
}

TEST(CompareReport, NamesWhatFailedAndShowsTheRest) {
  CompareResult result = sample();
  result.rows[2].cells.clear();
  result.rows[2].refused = "not installed: apt-get install passt";
  result.rows[1].cells["crr"].failed = "the client exited 1; its log ends: oops";
  const std::string text = compare_text(result);
  EXPECT_THAT(text, HasSubstr("qemu-passt: NO ROW: not installed: apt-get install passt"));
  EXPECT_THAT(text, HasSubstr("failed: the client exited 1; its log ends: oops"));
  EXPECT_THAT(text, HasSubstr("crr, us"));
  EXPECT_EQ(compare_json(result)["stacks"][1]["workloads"]["crr"]["failed"],
            "the client exited 1; its log ends: oops");
}

// It has its figures all the same, and the run is whole.
TEST(CompareReport, SaysWhatWasStartedAnew) {
  CompareResult result = sample();
  result.rows[1].restarts.push_back({"crr", "round 3", "QEMU exited 0"});
  result.boots.emplace_back().label = "qemu-passt";
  result.boots[0].restarts.push_back({"boot", "round 2", "no agent"});
  for (const std::string& text : {compare_text(result), compare_markdown(result)}) {
    EXPECT_THAT(text, HasSubstr("Restarted after a failed turn"));
    EXPECT_THAT(text, HasSubstr("qemu-slirp: crr, round 3: QEMU exited 0"));
    EXPECT_THAT(text, HasSubstr("qemu-passt: boot, round 2: no agent"));
  }
  const auto json = compare_json(result);
  EXPECT_EQ(json["stacks"][1]["started_anew"][0]["why"], "QEMU exited 0");
  EXPECT_EQ(json["boots"][0]["started_anew"][0]["when"], "round 2");
  EXPECT_TRUE(is_whole(result));
}

TEST(CompareReport, SaysWarmUpInterruptionAndTheNullTest) {
  CompareResult result = sample();
  result.interrupted = true;
  result.rounds_done = 3;
  result.null_test = {moody(2000, 8, 1, 9), moody(1000, 8, 2, 9)};
  for (const std::string& text : {compare_text(result), compare_markdown(result)}) {
    EXPECT_THAT(text, HasSubstr("INTERRUPTED after 3 of 8 rounds"));
    EXPECT_THAT(text, HasSubstr("10 warm-up cycles that are thrown away"));
    EXPECT_THAT(text, HasSubstr("THEY DIFFER"));
  }
  EXPECT_FALSE(compare_json(result)["null_test"]["agree"].get<bool>());
}

TEST(CompareReport, AStackNamedTwiceIsComparedWithItself) {
  CompareResult result = sample();
  Row& again = add(result, "qemu-slirp", moody(2000, 8, 9, 5), 1000);
  again.label = "qemu-slirp#2";
  EXPECT_EQ(base_of(result, again), &result.rows[1]);
  EXPECT_EQ(base_of(result, result.rows[1]), &result.rows[0]);
  EXPECT_EQ(base_of(result, result.rows[0]), nullptr);
}

// A row that failed is nothing to compare another with, however many of its rounds there are.
TEST(CompareReport, NothingIsComparedWithWhatFailed) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].failed = "broke";
  EXPECT_TRUE(compare_json(result)["stacks"][1]["workloads"]["crr"]["comparison"].is_null());
  EXPECT_THAT(figures_table(result)[2][7], "-");
}

// Its figures are of before; why there are no counts stands beside them.
TEST(CompareReport, ACountThatFailedTakesNothingFromWhatWasTimed) {
  CompareResult result = sample();
  result.rows[1].cells["crr"].uncounted = "QEMU exited 1";
  for (const std::string& text : {compare_text(result), compare_markdown(result)}) {
    EXPECT_THAT(text, HasSubstr("not counted: qemu-slirp, crr: QEMU exited 1"));
    EXPECT_THAT(text, Not(HasSubstr("failed: ")));
  }
  const auto cell = compare_json(result)["stacks"][1]["workloads"]["crr"];
  EXPECT_EQ(cell["n"], 800);
  EXPECT_EQ(cell["counts_missing"], "QEMU exited 1");
  EXPECT_TRUE(is_whole(result));
  result.rows[1].refused = "could not be restarted";
  EXPECT_THAT(compare_text(result), HasSubstr("qemu-slirp: GIVEN UP: could not be restarted"));
  EXPECT_FALSE(is_whole(result));
}

TEST(CompareReport, BootsThatFailedAreShownAsSuch) {
  CompareResult result = sample();
  BootRow& row = result.boots.emplace_back();
  row.label = "qemu-slirp";
  row.ready = {{300'000'000}};  // the first
  row.refused = "QEMU exited 1; its log ends: panic";
  for (const std::string& text : {compare_text(result), compare_markdown(result)}) {
    EXPECT_THAT(text, HasSubstr("failed: QEMU exited 1; its log ends: panic"));
    EXPECT_THAT(text, HasSubstr("qemu-slirp: NO BOOTS: QEMU exited 1"));
    EXPECT_THAT(text, Not(HasSubstr("300.0")));
  }
}

// What the exit status says.
TEST(CompareReport, IsWholeOnlyWhereNothingFailed) {
  EXPECT_TRUE(is_whole(sample()));
  const auto without = [](const std::function<void(CompareResult&)>& harm) {
    CompareResult result = sample();
    harm(result);
    return is_whole(result);
  };
  EXPECT_FALSE(without([](auto& result) { result.interrupted = true; }));
  EXPECT_FALSE(without([](auto& result) { result.rows[2].refused = "not installed"; }));
  EXPECT_FALSE(without([](auto& result) { result.rows[1].cells["crr"].failed = "broke"; }));
  EXPECT_FALSE(without([](auto& result) { result.boots.emplace_back().refused = "did not boot"; }));
  EXPECT_FALSE(without([](auto& result) { result.null_test.failed = "the server ended"; }));
  EXPECT_FALSE(without([](auto& result) {
    result.null_test = {moody(2000, 8, 1, 9), moody(1000, 8, 2, 9)};
  }));
}

TEST(CompareReport, ANullTestOfFewRoundsClaimsNoMoreThanItsIntervals) {
  CompareResult result = sample();
  result.null_test = {moody(1000, 1, 1, 9), moody(1000, 1, 2, 9)};
  EXPECT_THAT(compare_text(result), HasSubstr("they agree"));
  result.null_test = {moody(2000, 1, 1, 9), moody(1000, 1, 2, 9)};
  EXPECT_THAT(compare_text(result), HasSubstr("their intervals do not overlap"));
  EXPECT_THAT(compare_text(result), Not(HasSubstr("they agree")));
  EXPECT_TRUE(compare_json(result)["null_test"]["agree"].is_null());
  EXPECT_TRUE(is_whole(result));
  result.null_test = {};
  EXPECT_THAT(compare_text(result), HasSubstr("null test: not reached"));
  result.spec.workloads = {"boot"};
  EXPECT_THAT(compare_text(result), HasSubstr("null test: not run: boots"));
}

TEST(CompareReport, ANullTestThatFailedIsNamed) {
  CompareResult result = sample();
  result.null_test.failed = "the server ended";
  EXPECT_THAT(compare_text(result), HasSubstr("null test: FAILED: the server ended"));
  EXPECT_EQ(compare_json(result)["null_test"]["failed"], "the server ended");
}

TEST(CompareReport, MarkdownHasAsManyCellsInEveryLine) {
  const std::string table = markdown_table({{"a", "b", "c"}, {"1", "2", "3"}, {"x", "y"}});
  EXPECT_EQ(table, "| a | b | c |\n|---|---|--:|\n| 1 | 2 | 3 |\n| x | y |  |\n");
}

}  // namespace
}  // namespace glassbox::bench
