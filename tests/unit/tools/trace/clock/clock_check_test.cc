// KVM's values for the clocks, compared with the interval that causality leaves.
#include "tools/trace/clock/clock_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/memo_lines.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using ::testing::HasSubstr;
using testing::TraceBuilder;

// Two seconds of exchanges with a reading every 50 ms.
Trace trace_with_readings(std::int64_t lie_ticks, std::int64_t kvm_drift_ns = 0) {
  TraceBuilder builder({.offset_ns = -3'000'000'000, .drift_ppm = 40});
  std::int64_t kvm_ns = 5'000'000;
  for (std::int64_t t = 4'000'000'000; t < 6'000'000'000; t += 10'000'000) {
    builder.exchange(t);
    if (t % 50'000'000 == 0) builder.reading(t + 1'000'000, lie_ticks, kvm_ns += kvm_drift_ns);
  }
  return builder.build();
}

ClockChecks check(const Trace& trace) {
  const ClockReport clock = derive_clock(trace);
  return check_clocks(trace, clock.hull ? &*clock.hull : nullptr);
}

TEST(ClockCheck, AnHonestOffsetLiesInTheCausalInterval) {
  const ClockChecks checks = check(trace_with_readings(0));
  EXPECT_EQ(checks.tsc_offset.agreement, ClockAgreement::kAgrees);
  EXPECT_EQ(checks.tsc_offset.readings, 40U);
  EXPECT_EQ(checks.tsc_offset.inside, 40U);
  EXPECT_EQ(checks.tsc_offset.outside_ns, 0);
  EXPECT_NEAR(static_cast<double>(*checks.tsc_offset.kvm_ns), -3e9, 1e6);
  EXPECT_EQ(checks.kvm_clock.agreement, ClockAgreement::kAgrees);
  EXPECT_EQ(checks.kvm_clock.flags, 2);
}

// A counter that is not where KVM says: the report states it and by how much; no other figure changes.
TEST(ClockCheck, AnOffsetThatIsNotAppliedDisagreesAndFailsNothing) {
  const Trace trace = trace_with_readings(2'000'000);  // 1 ms, either way
  for (const Trace& t : {trace, trace_with_readings(-2'000'000)}) {
    const ClockChecks checks = check(t);
    EXPECT_EQ(checks.tsc_offset.agreement, ClockAgreement::kDisagrees);
    EXPECT_EQ(checks.tsc_offset.inside, 0U);
    EXPECT_NEAR(static_cast<double>(checks.tsc_offset.outside_ns), 1e6, 110e3);
    EXPECT_EQ(checks.kvm_clock.agreement, ClockAgreement::kAgrees) << "independent of the offset";
  }
  const Report report = make_report(trace);
  EXPECT_EQ(report.violations, 0U);
  EXPECT_THAT(format_table(report), HasSubstr("disagrees by"));
  const auto json = to_json(report);
  EXPECT_EQ(json["clock"]["checks"]["tsc_offset"]["outcome"], "disagrees");
}

TEST(ClockCheck, AKvmClockThatRunsAwayDisagrees) {
  EXPECT_EQ(check(trace_with_readings(0, 100'000)).kvm_clock.agreement, ClockAgreement::kDisagrees);
  EXPECT_EQ(check(trace_with_readings(0, -100'000)).kvm_clock.agreement, ClockAgreement::kDisagrees);
  EXPECT_EQ(check(trace_with_readings(0, 100)).kvm_clock.agreement, ClockAgreement::kAgrees);
}

TEST(ClockCheck, OneBadReadingDecidesNothing) {
  TraceBuilder builder;
  for (int k = 0; k < 40; ++k) {
    const std::int64_t t = 1'000'000'000 + k * 10'000'000LL;
    builder.exchange(t);
    builder.reading(t + 1'000'000, k == 20 ? 900'000'000 : 0);
  }
  const ClockChecks checks = check(builder.build());
  EXPECT_EQ(checks.tsc_offset.agreement, ClockAgreement::kAgrees);
  EXPECT_EQ(checks.tsc_offset.inside, 39U);
}

TEST(ClockCheck, WhatKvmDoesNotOfferIsNamed) {
  Trace trace = trace_with_readings(0);
  for (gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_reading) {
      args::clock_reading(e).offset_error = ENXIO;
      args::clock_reading(e).clock_error = EINVAL;
    }
  const ClockChecks checks = check(trace);
  EXPECT_EQ(checks.tsc_offset.agreement, ClockAgreement::kNotOffered);
  EXPECT_THAT(checks.tsc_offset.why, HasSubstr("No such device"));
  EXPECT_THAT(checks.kvm_clock.why, HasSubstr("Invalid argument"));
  EXPECT_THAT(format_checks(checks), HasSubstr("not offered by this KVM (KVM_VCPU_TSC_OFFSET: No such"));
  EXPECT_THAT(format_checks(check(testing::make_trace(2))), HasSubstr("no reading of KVM's clocks"));
  EXPECT_THAT(check(Trace{}).tsc_offset.why, HasSubstr("no guest"));
}

// The guest may write any counters and times.
TEST(ClockCheck, AHostileGuestGetsNoMoreThanADisagreement) {
  for (const std::uint64_t lie :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    using Reading = gb_args_guest_clock_reading;
    for (const auto arg :
         {&Reading::before_ns, &Reading::after_ns, &Reading::tsc_before, &Reading::tsc_after}) {
      Trace trace = trace_with_readings(0);
      for (gb_event& e : trace.guest.events)
        if (e.kind == GB_KIND_guest_clock_reading) args::guest_clock_reading(e).*arg = lie;
      const ClockChecks checks = check(trace);
      EXPECT_NE(checks.tsc_offset.agreement, ClockAgreement::kAgrees) << lie;
      EXPECT_EQ(derive_clock(trace).hull->violations(), 0U);
    }
  }
  // A number that is used twice counts once; one that the host never gave does not count.
  Trace trace = trace_with_readings(0);
  for (gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_clock_reading) {
      auto& number = args::guest_clock_reading(e).reading;
      number = number % 2 == 0 ? 2 : 1'000'000;
    }
  EXPECT_EQ(check(trace).tsc_offset.readings, 1U);
}

}  // namespace
}  // namespace glassbox::trace
