#include "tools/trace/clock/clock.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/clock/clock_constraints.h"
#include "tools/trace/path/attribute.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using testing::GuestClock;
using testing::make_trace;
using testing::TraceBuilder;
using Source = ClockConstraint::Source;

ClockConstraint exchange(std::int64_t at, std::int64_t lo, std::int64_t hi) {
  return {at, lo, hi, Source::kExchange, 0};
}

TEST(ClockHull, OneExchangeWidensWithAge) {
  const ClockHull hull({exchange(1'000'000'000, 40, 60)});
  ASSERT_TRUE(hull.known());
  EXPECT_EQ(hull.at(1'000'000'000).lo_ns, 40);
  EXPECT_EQ(hull.at(1'000'000'000).hi_ns, 60);
  EXPECT_EQ(hull.at(1'001'000'000).lo_ns, 40 - 600);  // 600 ppm of 1 ms
  EXPECT_EQ(hull.at(999'000'000).hi_ns, 60 + 600);
}

TEST(ClockHull, HalfOpenConstraintsTightenOnlyTheirSide) {
  const ClockHull hull(
      {exchange(0, 0, 100), {0, 30, {}, Source::kTransmit, 1}, {0, {}, 80, Source::kReceive, 2}});
  EXPECT_EQ(hull.at(0).lo_ns, 30);
  EXPECT_EQ(hull.at(0).hi_ns, 80);
  EXPECT_EQ(hull.violations(), 0U);
}

TEST(ClockHull, NothingIsKnownWithoutBothSides) {
  EXPECT_FALSE(ClockHull({}).known());
  EXPECT_FALSE(ClockHull({{0, 30, {}, Source::kTransmit, 1}}).known());
}

TEST(ClockHull, NamesTheConstraintsThatContradict) {
  auto early = exchange(1000, 0, 10), late = exchange(2000, 50, 60);
  early.id = 7, late.id = 8;
  const ClockHull hull({late, early});
  EXPECT_EQ(hull.violations(), 2U);
  ASSERT_TRUE(hull.worst_violation());
  EXPECT_EQ(hull.worst_violation()->describe(),
            "exchange 8 on vCPU 0 at host 2000 ns and exchange 7 on vCPU 0 at host 1000 ns contradict each "
            "other by 39 ns");
}

TEST(ClockHull, NamesTheWorstOfSeveralContradictions) {
  auto small = exchange(2000, 50, 60), large = exchange(3000, 500, 510), small_again = exchange(4000, 50, 60);
  large.id = 8;
  const ClockHull hull({exchange(1000, 0, 100), small, large, small_again});
  ASSERT_TRUE(hull.worst_violation());
  EXPECT_EQ(hull.worst_violation()->lower.id, 8U);
  EXPECT_EQ(hull.worst_violation()->excess_ns, 439) << "500 - 60, less the drift in 1 us";
}

TEST(ClockHull, RoundsOutwardsOnBothSidesOfZero) {
  for (const std::int64_t base : {-1'000, 1'000}) {
    const ClockHull hull({exchange(0, base, base)});
    EXPECT_EQ(hull.at(1).lo_ns, base - 1) << "600 ppm of 1 ns round up";
    EXPECT_EQ(hull.at(1).hi_ns, base + 1);
  }
}

// The true theta has an offset and a drift below rho. The hull must contain it at every time.
RC_GTEST_PROP(ClockHullProperty, ContainsTheTruth, ()) {
  GuestClock clock;
  clock.offset_ns = *rc::gen::inRange<std::int64_t>(-1'000'000'000'000, 1'000'000'000'000);
  clock.drift_ppm = *rc::gen::inRange(-590, 591);
  const auto times = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(
      rc::gen::inRange<std::int64_t>(1'000'000'000, 60'000'000'000)));
  std::vector<ClockConstraint> constraints;
  for (const std::int64_t t : times) {
    const std::int64_t before = *rc::gen::inRange<std::int64_t>(0, 5'000'000);
    const std::int64_t after = *rc::gen::inRange<std::int64_t>(0, 5'000'000);
    const std::int64_t ga = t - before + clock.theta(t - before), gb = t + after + clock.theta(t + after);
    constraints.push_back(exchange(t, ga - t, gb - t));
  }
  const ClockHull hull(constraints);
  RC_ASSERT(hull.violations() == 0U);
  for (int k = 0; k < 20; ++k) {
    const std::int64_t t = *rc::gen::inRange<std::int64_t>(0, 70'000'000'000);
    const ClockInterval at = hull.at(t);
    const std::int64_t truth = clock.theta(t);
    RC_ASSERT(at.lo_ns <= truth + 1);  // the test's own truth is rounded to 1 ns
    RC_ASSERT(truth - 1 <= at.hi_ns);
  }
}

// The two sweeps equal the definition.
RC_GTEST_PROP(ClockHullProperty, IsTheIntersectionOfAllConstraints, ()) {
  const auto raw =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<std::pair<std::int64_t, std::int64_t>>>(rc::gen::pair(
          rc::gen::inRange<std::int64_t>(0, 1'000'000'000), rc::gen::inRange<std::int64_t>(-50000, 50000))));
  std::vector<ClockConstraint> constraints;
  for (const auto& [t, mid] : raw)
    constraints.push_back(exchange(t, mid - 1000, mid + 1000));
  const ClockHull hull(constraints);
  const std::int64_t t = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000);
  double lo = -1e18, hi = 1e18;
  bool empty = false;
  for (const ClockConstraint& c : constraints) {
    const double widen = static_cast<double>(std::abs(t - c.at_ns)) * 600e-6;
    lo = std::max(lo, static_cast<double>(*c.lo_ns) - widen);
    hi = std::min(hi, static_cast<double>(*c.hi_ns) + widen);
    for (const ClockConstraint& d : constraints)
      empty |= static_cast<double>(*c.lo_ns - *d.hi_ns) >
               static_cast<double>(std::abs(c.at_ns - d.at_ns)) * 600e-6;
  }
  RC_ASSERT(std::abs(static_cast<double>(hull.at(t).lo_ns) - lo) <= 1.0);
  RC_ASSERT(std::abs(static_cast<double>(hull.at(t).hi_ns) - hi) <= 1.0);
  RC_ASSERT((hull.violations() > 0) == empty);
}

RC_GTEST_PROP(ClockHullProperty, MappingKeepsTheGuestsOrder, ()) {
  const auto raw =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<std::pair<std::int64_t, std::int64_t>>>(rc::gen::pair(
          rc::gen::inRange<std::int64_t>(0, 1'000'000'000), rc::gen::inRange<std::int64_t>(-300, 300))));
  std::vector<ClockConstraint> constraints;
  for (const auto& [t, mid] : raw)
    constraints.push_back(exchange(t, 7'000'000 + mid - 1000, 7'000'000 + mid + 1000));
  const ClockHull hull(constraints);
  const std::int64_t a = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000);
  const std::int64_t b = a + *rc::gen::inRange<std::int64_t>(2, 1'000'000);
  RC_ASSERT(hull.to_host(a) < hull.to_host(b));
}

RC_GTEST_PROP(ClockEvidence, SyntheticTracesAgreeAndHoldTheTruth, ()) {
  GuestClock clock;
  clock.offset_ns = *rc::gen::inRange<std::int64_t>(0, 1'000'000'000'000);
  clock.drift_ppm = *rc::gen::inRange(-500, 501);
  CycleOptions options;
  options.fork = *rc::gen::arbitrary<bool>();
  const Trace trace = make_trace(5, options, clock, *rc::gen::arbitrary<unsigned>());
  const ClockReport report = derive_clock(trace);
  RC_ASSERT(report.hull.has_value());
  RC_ASSERT(report.evidence.frames > 0U);
  RC_ASSERT(report.hull->violations() == 0U);
  for (const gb_event& e : trace.host.events) {
    const auto t = static_cast<std::int64_t>(e.ts_ns);
    const ClockInterval at = report.hull->at(t);
    RC_ASSERT(at.lo_ns <= clock.theta(t) + 1);
    RC_ASSERT(clock.theta(t) - 1 <= at.hi_ns);
  }
}

// An exchange that is moved by more than its neighbours and itself leave open is detected.
RC_GTEST_PROP(ClockEvidence, ACorruptedExchangeIsAlwaysCaught, ()) {
  Trace trace = make_trace(5, {}, {}, *rc::gen::arbitrary<unsigned>());
  std::vector<gb_event*> exchanges;
  for (gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_clock) exchanges.push_back(&e);
  gb_event& bad = *exchanges[*rc::gen::inRange<std::size_t>(0, exchanges.size())];
  // The hull without it is no wider than 2 * 100 us (an exchange's window) + drift over 12 ms; its own window
  // is 100 us.
  const auto shift = *rc::gen::inRange<std::uint64_t>(350'000, 1'000'000'000);
  const bool back = *rc::gen::arbitrary<bool>();
  for (auto* time : {&args::guest_clock(bad).before_ns, &args::guest_clock(bad).after_ns})
    *time = back ? *time - shift : *time + shift;
  const ClockReport report = derive_clock(trace);
  RC_ASSERT(report.hull->violations() > 0U);
  const auto& worst = *report.hull->worst_violation();
  const auto is_bad = [&bad](const ClockConstraint& c) {
    return c.source == Source::kExchange && c.id == args::guest_clock(bad).exchange;
  };
  RC_ASSERT(is_bad(worst.lower) || is_bad(worst.upper));
}

void shift_exchange(gb_event& e, std::uint64_t ns) {
  args::guest_clock(e).before_ns += ns;
  args::guest_clock(e).after_ns += ns;
}

std::vector<gb_event*> guest_events(Trace& trace, std::uint16_t kind) {
  std::vector<gb_event*> out;
  for (gb_event& e : trace.guest.events)
    if (e.kind == kind) out.push_back(&e);
  return out;
}

// Two exchanges with swapped numbers: each window meets the other's host time.
RC_GTEST_PROP(ClockEvidence, SwappedExchangesAreAlwaysCaught, ()) {
  Trace trace = make_trace(5, {}, {}, *rc::gen::arbitrary<unsigned>());
  const auto exchanges = guest_events(trace, GB_KIND_guest_clock);
  const auto a = *rc::gen::inRange<std::size_t>(0, exchanges.size() - 1);
  const auto b = *rc::gen::inRange<std::size_t>(a + 1, exchanges.size());
  // They are at least 200 us apart and 100 us wide: neither window can contain the other's stamp.
  std::swap(args::guest_clock(*exchanges[a]).exchange, args::guest_clock(*exchanges[b]).exchange);
  const ClockReport report = derive_clock(trace);
  RC_ASSERT(report.hull->violations() > 0U);
  RC_ASSERT(report.hull->worst_violation()->describe().find("contradict") != std::string::npos);
}

// A host stamp that belongs to another exchange: all that follow are shifted by one.
RC_GTEST_PROP(ClockEvidence, WronglyPairedExchangesAreAlwaysCaught, ()) {
  Trace trace = make_trace(5, {}, {}, *rc::gen::arbitrary<unsigned>());
  const auto exchanges = guest_events(trace, GB_KIND_guest_clock);
  const auto first = *rc::gen::inRange<std::size_t>(1, exchanges.size());
  for (std::size_t k = first; k < exchanges.size(); ++k)
    --args::guest_clock(*exchanges[k]).exchange;
  // The number before the first is used twice: only one of the two counts, but the rest contradict it.
  const ClockReport report = derive_clock(trace);
  RC_ASSERT(report.hull->violations() > 0U || first + 1 == exchanges.size());
}

// A frame that is moved against its cause by more than the bound: sent after the host had it, or received
// before it was published.
RC_GTEST_PROP(ClockEvidence, AFrameBeyondTheBoundIsAlwaysCaught, ()) {
  Trace trace = make_trace(5, {}, {}, *rc::gen::arbitrary<unsigned>());
  const bool out = *rc::gen::arbitrary<bool>();
  const auto frames = guest_events(trace, out ? GB_KIND_guest_xmit : GB_KIND_guest_receive);
  gb_event& bad = *frames[*rc::gen::inRange<std::size_t>(0, frames.size())];
  const std::size_t paired = derive_clock(trace).evidence.frames;
  Trace without = trace;
  std::erase_if(without.guest.events,
                [&bad](const gb_event& e) { return e.seq == bad.seq && e.cpu == bad.cpu; });
  RC_PRE(derive_clock(without).evidence.frames < paired);  // it is a frame that the host saw too
  // A frame travels for at most 180 us; the hull is 200 us wide, plus drift.
  const auto shift = *rc::gen::inRange<std::uint64_t>(500'000, 1'000'000'000);
  bad.ts_ns = out ? bad.ts_ns + shift : bad.ts_ns - shift;
  const ClockReport report = derive_clock(trace);
  RC_ASSERT(report.hull->violations() > 0U);
  const auto& worst = *report.hull->worst_violation();
  RC_ASSERT(worst.lower.source == Source::kTransmit || worst.upper.source == Source::kReceive);
}

// One vCPU's clock is off: no vCPU contradicts itself, the whole does, and the pair names both.
TEST(ClockEvidence, VcpusThatDisagreeDifferFromAClockThatJumps) {
  TraceBuilder apart;
  for (std::int64_t t = 1'000'000'000; t < 1'100'000'000; t += 1'000'000)
    apart.exchange(t);
  Trace trace = apart.build();
  const auto exchanges = guest_events(trace, GB_KIND_guest_clock);
  for (std::size_t k = 1; k < exchanges.size(); k += 2) {
    exchanges[k]->cpu |= 1;
    shift_exchange(*exchanges[k], 400'000);
  }
  const ClockReport report = derive_clock(trace);
  ASSERT_EQ(report.vcpus.size(), 2U);
  EXPECT_EQ(report.vcpus[0].violations + report.vcpus[1].violations, 0U);
  EXPECT_EQ(report.vcpus[0].constraints, 50U);
  ASSERT_GT(report.hull->violations(), 0U);
  EXPECT_NE(report.hull->worst_violation()->lower.vcpu, report.hull->worst_violation()->upper.vcpu);
  // A jump shows within one vCPU.
  for (std::size_t k = 51; k < exchanges.size(); k += 2)
    shift_exchange(*exchanges[k], 900'000);
  const ClockReport jumped = derive_clock(trace);
  EXPECT_EQ(jumped.vcpus[0].violations, 0U);
  EXPECT_GT(jumped.vcpus[1].violations, 0U);
}

TEST(ClockEvidence, RetransmittedFramesPairWithNothing) {
  Trace trace = make_trace(1);
  const std::size_t frames = collect_clock_evidence(trace).frames;
  const auto syn = std::find_if(trace.guest.events.begin(), trace.guest.events.end(),
                                [](const gb_event& e) { return e.kind == GB_KIND_guest_xmit; });
  ASSERT_NE(syn, trace.guest.events.end());
  trace.guest.events.insert(syn, *syn);
  EXPECT_EQ(collect_clock_evidence(trace).frames, frames - 1);
}

TEST(ClockEvidence, AnExchangeThatEndsBeforeItBeginsIsRefused) {
  Trace trace = make_trace(1);
  for (gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_clock)
      std::swap(args::guest_clock(e).before_ns, args::guest_clock(e).after_ns);
  const ClockEvidence evidence = collect_clock_evidence(trace);
  EXPECT_EQ(evidence.exchanges, 0U);
  EXPECT_GT(evidence.impossible, 0U);
}

}  // namespace
}  // namespace glassbox::trace
