#include "tools/trace/tax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/trace/synthetic.h"
#include "tools/trace/report.h"

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

}  // namespace
}  // namespace glassbox::trace
