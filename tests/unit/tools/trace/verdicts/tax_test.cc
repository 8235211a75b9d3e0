#include "tools/trace/verdicts/tax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using ::testing::HasSubstr;
using testing::make_trace;

Trace priced(std::int64_t hit_ns) {
  Trace trace = make_trace(10);
  trace.meta["probe_cost"] = {{"hit_ns", hit_ns}};
  return trace;
}

const Verdict& verdict(const Report& r) {
  return r.verdicts.back();
}

TEST(ProbeTax, IsHitsTimesCost) {
  const Trace trace = priced(800);
  const Attribution a = attribute(trace, derive_clock(trace));
  const ProbeTax tax = probe_tax(trace, a);
  std::size_t hits = 0;
  for (const gb_event& e : trace.host.events)
    for (const CycleResult& c : a.cycles)
      if (e.kind < 64 && static_cast<std::int64_t>(e.ts_ns) >= c.begin_ns &&
          static_cast<std::int64_t>(e.ts_ns) <= c.end_ns)
        ++hits;
  EXPECT_GT(hits, 100U);
  EXPECT_DOUBLE_EQ(tax.hits_per_cycle, static_cast<double>(hits) / 10);
  EXPECT_DOUBLE_EQ(*tax.ns_per_cycle, tax.hits_per_cycle * 800);
}

TEST(ProbeTax, IsAMemoLineAndAVerdict) {
  const Report cheap = make_report(priced(800)), dear = make_report(priced(100'000));
  EXPECT_THAT(format_table(cheap), HasSubstr("\nprobes' tax (inside the rows): "));
  EXPECT_THAT(format_table(cheap), HasSubstr(" USDT hits a cycle x 0.80 us = "));
  EXPECT_EQ(verdict(cheap).id, "probe_tax");
  EXPECT_EQ(verdict(cheap).outcome, Outcome::kFalsified);
  EXPECT_EQ(verdict(dear).outcome, Outcome::kConfirmed);
  EXPECT_DOUBLE_EQ(to_json(cheap)["probe_tax"]["hit_us"].get<double>(), 0.8);
}

TEST(ProbeTax, WithoutAMeasurementNothingIsClaimed) {
  for (const nlohmann::json& cost : {nlohmann::json(), nlohmann::json({{"hit_ns", -5}}), nlohmann::json(7),
                                     nlohmann::json({{"hit_ns", 1'000'000'000'000}})}) {
    Trace trace = make_trace(3);
    trace.meta["probe_cost"] = cost;
    const Report r = make_report(trace);
    EXPECT_EQ(verdict(r).outcome, Outcome::kNotTestable);
    EXPECT_THAT(format_table(r), HasSubstr("cost of a hit not measured"));
    EXPECT_TRUE(to_json(r)["probe_tax"]["hit_us"].is_null());
  }
}

TEST(ProbeTax, TheComparisonIsPrintedOrSaidToBeMissing) {
  Trace trace = priced(800);
  EXPECT_THAT(format_table(make_report(trace)),
              HasSubstr("\ntracing's cost by comparison: the trace has no untraced cycles to compare with"));
  EXPECT_TRUE(to_json(make_report(trace))["probe_tax"]["compared_missing"].is_string());
  trace.meta["tracing_cost"] = {{"traced_n", 200U},          {"traced_p50_us", 8510.0}, {"untraced_n", 200U},
                                {"untraced_p50_us", 8010.0}, {"difference_us", 500.0},  {"low_us", -20.0},
                                {"high_us", 900.0},          {"confidence", 0.96}};
  const Report r = make_report(trace);
  EXPECT_THAT(format_table(r), HasSubstr("traced p50 8.51 ms (n 200), untraced p50 8.01 ms (n 200): +500 us "
                                         "(-20.0 us to +900 us, 96 %)"));
  const auto json = to_json(r)["probe_tax"];
  EXPECT_TRUE(json["compared_missing"].is_null());
  EXPECT_DOUBLE_EQ(json["compared"]["low_us"].get<double>(), -20);
}

// The file may claim anything.
TEST(ProbeTax, AComparisonThatCannotBeIsNone) {
  for (const nlohmann::json& cost :
       {nlohmann::json(3), nlohmann::json({{"traced_n", 1}}),
        nlohmann::json(
            {{"traced_n", 1U}, {"untraced_n", 1U}, {"traced_p50_us", 1e300}, {"untraced_p50_us", 1}}),
        nlohmann::json(
            {{"traced_n", 0U}, {"untraced_n", 1U}, {"traced_p50_us", 1}, {"untraced_p50_us", 1}})}) {
    Trace trace = priced(800);
    trace.meta["tracing_cost"] = cost;
    EXPECT_FALSE(make_report(trace).tax.compared.has_value()) << cost;
  }
}

}  // namespace
}  // namespace glassbox::trace
