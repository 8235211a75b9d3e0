#include "tools/trace/path/thread_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_trace;
using testing::TraceBuilder;

constexpr std::uint64_t kBlockedState = 1;  // TASK_INTERRUPTIBLE
constexpr std::uint32_t kNetTid = 77, kServerTid = 88, kVcpuTid = 99;

Trace trace_of(void (*fill)(TraceBuilder&)) {
  TraceBuilder builder;
  fill(builder);
  return builder.build();
}

// The thread runs, sleeps from 200, is woken at 300, runs from 450, is preempted at 500, runs from 600.
void one_thread(TraceBuilder& b) {
  b.host(100, GB_KIND_host_sched_in, 0, {5, 5});
  b.host(150, GB_KIND_host_sched_wakeup, 9, {5, 5});  // it is running: nothing changes
  b.host(200, GB_KIND_host_sched_out, 5, {5, 5, kBlockedState});
  b.host(300, GB_KIND_host_sched_wakeup, 9, {5, 5});
  b.host(450, GB_KIND_host_sched_in, 9, {5, 5});
  b.host(500, GB_KIND_host_sched_out, 5, {5, 5, 0});
  b.host(600, GB_KIND_host_sched_in, 9, {5, 5});
}

TEST(ThreadStates, SplitsAnIntervalToTheNanosecond) {
  const ThreadStates states(trace_of(one_thread));
  EXPECT_TRUE(states.knows(5));
  EXPECT_FALSE(states.knows(6));
  EXPECT_THAT(states.split(5, 40, 700), ElementsAre(100 + 50 + 100, 150 + 100, 100, 60, 0, 0));
  EXPECT_THAT(states.split(5, 250, 320), ElementsAre(0, 20, 50, 0, 0, 0));
  EXPECT_THAT(states.split(5, 460, 470), ElementsAre(10, 0, 0, 0, 0, 0));
  EXPECT_THAT(states.split(6, 0, 10), ElementsAre(0, 0, 0, 10, 0, 0));
  EXPECT_THAT(states.split(5, 300, 300), ElementsAre(0, 0, 0, 0, 0, 0));
}

// The thread `runnable_of` is runnable all the time without a CPU; the others run.
Trace starved(std::uint32_t runnable_of) {
  CycleOptions o;
  o.fork = false;
  Trace trace = make_trace(20, o);
  TraceBuilder b;
  for (const std::uint32_t tid : {kNetTid, kServerTid, kVcpuTid}) {
    b.host(1000, GB_KIND_host_sched_in, 0, {tid, tid});
    if (tid == runnable_of) b.host(2000, GB_KIND_host_sched_out, tid, {tid, tid, 0});
  }
  const auto& events = b.build().host.events;
  trace.host.events.insert(trace.host.events.begin(), events.begin(), events.end());
  return trace;
}

Outcome outcome(const Report& r, std::string_view id) {
  return std::find_if(r.verdicts.begin(), r.verdicts.end(), [id](const Verdict& v) { return v.id == id; })
      ->outcome;
}

TEST(ThreadStates, AStarvedThreadHasItsVerdict) {
  for (const std::uint32_t tid : {kNetTid, kServerTid, kVcpuTid}) {
    const Report r = make_report(starved(tid));
    EXPECT_EQ(outcome(r, "net_not_scheduled"), tid == kNetTid ? Outcome::kConfirmed : Outcome::kFalsified);
    EXPECT_EQ(outcome(r, "vcpu_not_scheduled"), tid == kVcpuTid ? Outcome::kConfirmed : Outcome::kFalsified);
    const auto& think = r.segments[static_cast<std::size_t>(Segment::server_think)].mean_states_ns;
    ASSERT_TRUE(think);
    EXPECT_EQ((*think)[static_cast<std::size_t>(ThreadState::kRunning)] == 0, tid == kServerTid);
    EXPECT_EQ((*think)[static_cast<std::size_t>(ThreadState::kBlocked)], 0);
  }
}

TEST(ThreadStates, WithoutSchedulingEventsNothingIsClaimed) {
  const Report r = make_report(make_trace(3));
  EXPECT_EQ(outcome(r, "net_not_scheduled"), Outcome::kNotTestable);
  EXPECT_EQ(outcome(r, "vcpu_not_scheduled"), Outcome::kNotTestable);
  EXPECT_THAT(format_states(r), HasSubstr("states: none"));
  EXPECT_TRUE(to_json(r)["segments"][0]["states"].is_null());
}

TEST(ThreadStates, AreShownByThreadAndState) {
  const Report r = make_report(starved(kNetTid));
  EXPECT_THAT(format_states(r), HasSubstr("\nnetwork host connect() "));
  EXPECT_THAT(format_states(r), HasSubstr("\nserver  server: think time "));
  const auto row = to_json(r)["segments"][static_cast<std::size_t>(Segment::host_connect)]["states"];
  EXPECT_EQ(row["thread"], "network");
  EXPECT_GT(row["runnable_us"].get<double>(), 0);
  EXPECT_EQ(row["blocked_us"].get<double>(), 0);
}

}  // namespace
}  // namespace glassbox::trace
