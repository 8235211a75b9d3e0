// The states of the thread that acts in a step, overridden by those of its vCPU.
#include "tools/trace/path/cycle_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/trace_reader.h"

namespace glassbox::trace {
namespace {

using ::testing::ElementsAre;
using testing::TraceBuilder;

constexpr std::uint64_t kBlockedState = 1;
constexpr std::uint32_t kVcpuTid = 99, kClient = 600;  // of the builder
constexpr std::int64_t kOffset = 5'000'000'000;

// From t to t + 1000 the client runs until 200, sleeps until 500, waits until 600, and runs again. Its vCPU
// is in an exit over [50, 150], has no CPU over [250, 300] and [700, 800], and sleeps in an exit over [900,
// 950].
struct Scene {
  std::int64_t t = 2'000'000'000;
  Trace trace;
  ClockReport clock;

  Scene() {
    TraceBuilder b({.offset_ns = kOffset, .drift_ppm = 0});
    b.exchange(t - 1'000'000, 0);
    b.exchange(t - 900'000, 0);
    const auto host = [&](std::int64_t at, std::uint16_t kind, std::uint64_t arg2 = 0) {
      b.host(t + at, kind, kVcpuTid, {kVcpuTid, kVcpuTid, arg2});
    };
    const auto guest = [&](std::int64_t at, std::uint16_t kind, std::uint64_t arg2 = 0) {
      b.guest(t + at, kind, kClient, {kClient, kClient, arg2});
    };
    const auto exit_over = [&](std::int64_t from, std::int64_t to) {
      b.host(t + to, GB_KIND_host_vcpu_exit, kVcpuTid, {static_cast<std::uint64_t>(t + from)});
    };
    host(-1000, GB_KIND_host_sched_in);
    guest(-500, GB_KIND_guest_sched_in);
    exit_over(50, 150);
    guest(200, GB_KIND_guest_sched_out, kBlockedState);
    host(250, GB_KIND_host_sched_out), host(300, GB_KIND_host_sched_in);
    guest(500, GB_KIND_guest_sched_wakeup), guest(600, GB_KIND_guest_sched_in);
    host(700, GB_KIND_host_sched_out), host(800, GB_KIND_host_sched_in);
    host(910, GB_KIND_host_sched_out, kBlockedState), host(940, GB_KIND_host_sched_wakeup);
    host(940, GB_KIND_host_sched_in);
    exit_over(900, 950);
    trace = b.build();
    // The exchanges touch the true offset from both sides, so that it is exact.
    clock.hull.emplace(std::vector<ClockConstraint>{{t, kOffset, kOffset}}, 0);
  }

  [[nodiscard]] StateSplit of(Slot to, std::int64_t from, std::int64_t until) const {
    Step step{.from = Slot::socket, .to = to, .begin_ns = t + from, .end_ns = t + until};
    step.tid = kClient;
    return CycleStates(trace, clock).split(CycleResult{}, step);
  }
};

// Order: running, runnable, blocked, unknown, in exit, stolen.
TEST(CycleStates, OfAClientOverriddenByItsVcpu) {
  const Scene s;
  EXPECT_THAT(s.of(Slot::request_send, 0, 200), ElementsAre(100, 0, 0, 0, 100, 0));
  EXPECT_THAT(s.of(Slot::request_send, 200, 600), ElementsAre(0, 100, 250, 0, 0, 50));
  EXPECT_THAT(s.of(Slot::request_send, 600, 1000), ElementsAre(250, 0, 0, 0, 50, 100));
  EXPECT_THAT(s.of(Slot::request_send, 0, 1000), ElementsAre(350, 100, 250, 0, 150, 150));
}

TEST(CycleStates, OfTheVcpuThatTakesAnInterrupt) {
  const Scene s;
  EXPECT_THAT(s.of(Slot::reply_receive, 0, 1000), ElementsAre(700, 0, 30, 0, 120, 150));
}

TEST(CycleStates, OfAnotherVcpuIsNotTaken) {
  Scene s;
  for (gb_event& e : s.trace.guest.events)
    if (e.kind == GB_KIND_guest_clock)
      args::guest_clock(e).vcpu = 1;  // the thread is CPU 1's; the client runs on CPU 0
  EXPECT_THAT(s.of(Slot::request_send, 0, 1000), ElementsAre(600, 100, 300, 0, 0, 0));
  EXPECT_THAT(s.of(Slot::reply_receive, 0, 1000), ElementsAre(0, 0, 0, 1000, 0, 0));
}

TEST(CycleStates, EverySegmentHasAnActor) {
  for (std::size_t k = 0; k < kSegments; ++k) {
    const auto segment = static_cast<Segment>(k);
    EXPECT_EQ(actor_of(segment) == Actor::kNone,
              segment == Segment::guest_untraced || segment == Segment::inbound_untraced)
        << segment_info(segment).id;
  }
  EXPECT_EQ(actor_of(Segment::guest_fork_exec), Actor::kClient);
  EXPECT_EQ(actor_of(Segment::irq_reply), Actor::kVcpu);
  EXPECT_EQ(actor_of(Segment::host_connect), Actor::kNetwork);
  EXPECT_EQ(actor_of(Segment::server_think), Actor::kServer);
  EXPECT_EQ(actor_of(Segment::close_handshake), Actor::kSeveral);
}

// In real cycles the states of a step cover it. They are known except at the beginning of the first cycle.
TEST(CycleStates, OfRealCyclesAreKnownAndComplete) {
  const auto trace = read_trace(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/fork.trace");
  ASSERT_TRUE(trace);
  const ClockReport clock = derive_clock(*trace);
  const Attribution a = attribute(*trace, clock);
  const CycleStates states(*trace, clock);
  ASSERT_GE(a.cycles.size(), 2U);
  for (std::size_t k = 1; k < a.cycles.size(); ++k)
    for (const Step& step : a.cycles[k].path.steps) {
      const StateSplit split = states.split(a.cycles[k], step);
      EXPECT_EQ(std::accumulate(split.begin(), split.end(), std::int64_t{0}), step.end_ns - step.begin_ns);
      EXPECT_EQ(split[static_cast<std::size_t>(ThreadState::kUnknown)], 0)
          << slot_name(step.from) << " -> " << slot_name(step.to) << " of cycle " << k + 1;
    }
}

}  // namespace
}  // namespace glassbox::trace
