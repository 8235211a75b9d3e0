// Guests that report anything: the host's figures do not change, no figure overflows, and the time of the
// report grows linearly with the trace.
#include <gtest/gtest.h>
#include <time.h>

#include <map>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using testing::make_trace;
using testing::TraceBuilder;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::uint64_t kGateway = 0xffff0a000202;

const CycleOptions kSingle = {.fork = false};

Attribution attribute_all(const Trace& trace) {
  return attribute(trace, derive_clock(trace));
}

// The time of the host's segments, by flow.
std::map<std::uint64_t, std::int64_t> host_time(const Attribution& a) {
  std::map<std::uint64_t, std::int64_t> out;
  for (const CycleResult& c : a.cycles)
    for (std::size_t k = 0; k < kSegments; ++k)
      if (segment_info(static_cast<Segment>(k)).side == Where::host && c.segment_ns[k] != 0)
        out[c.flow] += c.segment_ns[k];
  return out;
}

// Repeats every socket call with unused numbers, by another thread and on another socket.
void replay_calls(Trace& trace) {
  std::uint64_t seq = 0;
  for (const gb_event& e : trace.guest.events)
    if (!is_agent_kind(e.kind)) seq = std::max<std::uint64_t>(seq, e.seq + 1);
  const std::vector<gb_event> told = trace.guest.events;
  for (gb_event e : told) {
    if (e.kind < GB_KIND_guest_socket || is_agent_kind(e.kind)) continue;
    if (e.kind == GB_KIND_guest_xmit || e.kind == GB_KIND_guest_receive || e.kind == GB_KIND_guest_irq)
      continue;
    e.seq = seq++;
    e.tgid = e.tid = e.tid + 1000;
    if (e.kind != GB_KIND_guest_socket) e.arg[0] += 1;  // another socket, or another process
    trace.guest.events.push_back(e);
  }
  std::stable_sort(trace.guest.events.begin(), trace.guest.events.end(),
                   [](const gb_event& a, const gb_event& b) { return a.ts_ns < b.ts_ns; });
}

TEST(HostileGuest, TheHostsWorkForAConnectionCountsOnceHoweverOftenTheGuestReportsIt) {
  Trace trace = make_trace(5, kSingle);
  const Attribution honest = attribute_all(trace);
  ASSERT_EQ(honest.cycles.size(), 5U);
  ASSERT_EQ(honest.without_flow, 0U);
  replay_calls(trace);
  const Attribution twice = attribute_all(trace);
  EXPECT_EQ(twice.cycles.size(), 10U);
  EXPECT_EQ(twice.without_flow, 5U);
  EXPECT_EQ(host_time(twice), host_time(honest));
}

TEST(HostileGuest, ASilentGuestLeavesTheHostItsCycles) {
  Trace trace = make_trace(5, kSingle);
  const Attribution alone = attribute_all(host_side(trace));
  ASSERT_EQ(alone.cycles.size(), 5U);
  std::erase_if(trace.guest.events, [](const gb_event& e) { return e.kind != GB_KIND_guest_clock; });
  const Attribution silent = attribute_all(trace);
  EXPECT_EQ(silent.cycles.size(), 5U);
  EXPECT_EQ(host_time(silent), host_time(alone));
  const Report report = make_report(trace);
  EXPECT_NE(report.title.find("host side only (the guest reported no connection)"), std::string::npos);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("the guest reported no connection"), std::string::npos);
}

TEST(HostileGuest, HostSideIsTheSameWhateverTheGuestReports) {
  const Trace honest = make_trace(5);
  Trace lying = honest;
  replay_calls(lying);
  for (gb_event& e : lying.guest.events) {
    if (e.kind != GB_KIND_guest_clock) continue;
    args::guest_clock(e).before_ns += 1'000'000'000;
    args::guest_clock(e).after_ns += 2'000'000'000 * (e.seq % 3);
  }
  lying.guest.impossible_records = 99;
  const auto text = [](const Trace& trace) { return format_table(make_report(host_side(trace))); };
  EXPECT_EQ(text(lying), text(honest));
  EXPECT_NE(format_table(make_report(lying)), format_table(make_report(honest)));
}

// Ten cycles of 36 years each, by the guest's times: their sum overflows 64 bits.
TEST(HostileGuest, TimesWhoseSumOverflowsStillHaveAMean) {
  constexpr std::int64_t kEver = 1'100'000'000'000'000'000;
  TraceBuilder builder;
  CycleOptions options = kSingle;
  options.close_ns = kEver;
  std::int64_t t = 1'000'000'000;
  builder.exchange(t);
  builder.guest(t, GB_KIND_guest_sched_out, 600, {600, 600, 1});
  for (int k = 0; k < 10; ++k)
    builder.cycle(t += 10 * kMs, options);
  const Report report = make_report(builder.build());
  ASSERT_EQ(report.complete, 10U);
  const auto& close = report.segments.at(static_cast<std::size_t>(Segment::guest_close));
  ASSERT_TRUE(close.mean_states_ns);
  std::int64_t most = 0;
  for (const std::int64_t ns : *close.mean_states_ns) {
    EXPECT_GE(ns, 0);
    most = std::max(most, ns);
  }
  EXPECT_NEAR(static_cast<double>(most), static_cast<double>(kEver), 1e15);
}

// The CPU time of this thread, the least of three runs.
template <typename Work>
double cpu_seconds(Work&& work) {
  double least = 1e9;
  for (int k = 0; k < 3; ++k) {
    timespec begin{}, end{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    work();
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    least = std::min(least, static_cast<double>(end.tv_sec - begin.tv_sec) +
                                static_cast<double>(end.tv_nsec - begin.tv_nsec) * 1e-9);
  }
  return least;
}

// How many times longer the report takes for a trace of sixteen times the length: sixteen times for linear
// work, and up to three times that where the longer trace leaves the caches of a busy machine. A quadratic
// search makes it 256.
template <typename MakeTrace>
double growth(MakeTrace&& make, int many) {
  const Trace small = make(many / 16), large = make(many);
  const auto cost = [](const Trace& trace) {
    return cpu_seconds([&trace] { EXPECT_NE(format_table(make_report(trace)), ""); });
  };
  const double before = cost(small);
  return cost(large) / before;
}
constexpr double kMostGrowth = 90;

// One cycle with a second of think time, filled with the events that `fill` adds.
template <typename Fill>
Trace with_traffic(int count, Fill&& fill) {
  TraceBuilder builder;
  CycleOptions options = kSingle;
  options.think_ns = 1000 * kMs;
  const std::int64_t begin = 1'000'000'000;
  builder.exchange(begin);
  fill(builder, begin + 100 * kMs, 800 * kMs / count);
  builder.exchange(builder.cycle(begin + kMs, options));
  return builder.build();
}
// The ports of a builder's first flow.
constexpr std::uint64_t kFlow = 1, kPort = 32769, kServerPort = 7777;

TEST(HostileGuest, TimeIsLinearInTheFramesOfOneConnection) {
  const auto make = [](int count) {
    return with_traffic(count, [count](TraceBuilder& builder, std::int64_t t, std::int64_t step) {
      for (int k = 0; k < count; ++k)
        builder.host(t += step, GB_KIND_rx_inject, 77,
                     {kFlow, 1'000'000U + static_cast<std::uint64_t>(k), 1514, 24, 0});
    });
  };
  EXPECT_LT(growth(make, 96'000), kMostGrowth);
}

TEST(HostileGuest, TimeIsLinearInTheSendsOfOneConnection) {
  const auto make = [](int count) {
    return with_traffic(count, [count](TraceBuilder& builder, std::int64_t t, std::int64_t step) {
      for (int k = 0; k < count / 2; ++k)
        builder.guest(t += step, GB_KIND_guest_xmit, 600,
                      {kPort, kServerPort, static_cast<std::uint64_t>(k), 67, 24, 0, kGateway, 0, 0, 1});
      for (int k = 0; k < count / 2; ++k)
        builder.guest(t += step, GB_KIND_guest_send, 600, {0x100040, 1, kPort, kServerPort});
    });
  };
  EXPECT_LT(growth(make, 96'000), kMostGrowth);
}

// Connections that never sent anything, between ports that were busy all the time.
TEST(HostileGuest, TimeIsLinearInConnectionsAmongManyFrames) {
  const auto make = [](int count) {
    TraceBuilder builder;
    std::int64_t t = 1'000'000'000;
    builder.exchange(t);
    for (int k = 0; k < count; ++k) {
      const std::uint64_t socket = 0x100000 + 64U * static_cast<unsigned>(k);
      builder.guest(t, GB_KIND_guest_connect_begin, 600,
                    {socket, 2, kServerPort, 0, kGateway, 1'000'000'000});
      builder.guest(t += 1000, GB_KIND_guest_sock_state, 600, {socket, 2, 2, 1, kPort, kServerPort});
    }
    for (int k = 0; k < 2 * count; ++k)  // acknowledgements only
      builder.guest(t += 1000, k % 2 == 0 ? GB_KIND_guest_xmit : GB_KIND_guest_receive, 600,
                    {kPort, kServerPort, 7, 66, 16, 0, kGateway, 0, 0, 0});
    for (int k = 0; k < count; ++k)
      builder.guest(t += 1000, GB_KIND_guest_close_done, 600,
                    {0x100000 + 64U * static_cast<unsigned>(k), 2, kPort, kServerPort});
    builder.exchange(t);
    return builder.build();
  };
  EXPECT_EQ(attribute_all(make(100)).cycles.size(), 100U);
  EXPECT_LT(growth(make, 32'000), kMostGrowth);
}

// A parent's clones and children, without the forks that connect them.
TEST(HostileGuest, TimeIsLinearInTheChildrenOfOneParent) {
  const auto make = [](int count) {
    TraceBuilder builder;
    std::int64_t t = 1'000'000'000;
    builder.exchange(t);
    for (int k = 0; k < count; ++k)
      builder.guest(t += 1000, GB_KIND_guest_clone_begin, 500, {0x11});
    for (int k = 0; k < count; ++k) {
      const auto child = static_cast<std::uint32_t>(1000 + k);
      const std::uint64_t socket = 0x100000 + 64U * child;
      builder.guest(t += 1000, GB_KIND_guest_connect_begin, child, {socket, 2, kServerPort, 0, kGateway, 1});
      builder.guest(t += 1000, GB_KIND_guest_close_done, child, {socket, 2, kPort, kServerPort});
    }
    for (int k = 0; k < count; ++k)
      builder.guest(t += 1000, GB_KIND_guest_reap, 500, {1000U + static_cast<unsigned>(k), 0});
    builder.exchange(t);
    return builder.build();
  };
  EXPECT_LT(growth(make, 32'000), kMostGrowth);
}

}  // namespace
}  // namespace glassbox::trace
