// Properties of the reports and traces of the launcher's main runs, which bench_record recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/system/bench/system_test.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"

namespace glassbox::bench::testing {
namespace {

using nlohmann::json;

class Report : public ::testing::TestWithParam<const char*> {
 protected:
  json report_ = read_json(traces_dir() / fmt::format("{}.json", GetParam()));
  void SetUp() override {
    ASSERT_TRUE(report_.is_object()) << "bench_record left no " << GetParam() << ".json";
  }
};

const json* segment(const json& report, std::string_view id) {
  for (const json& one : report["segments"]) {
    if (one["id"] == id) return &one;
  }
  return nullptr;
}

double share(const json& report, std::string_view id) {
  const json* one = segment(report, id);
  return one != nullptr && (*one)["share"].is_number() ? (*one)["share"].get<double>() : 0;
}

TEST_P(Report, MatchesTheSchema) {
  const std::string schema = source_dir() / "tools/trace/report/report.schema.json";
  const std::string report = traces_dir() / fmt::format("{}.json", GetParam());
  const ProgramResult outcome = run({"/usr/bin/python3", "-m", "jsonschema", "-i", report, schema});
  if (outcome.err.find("No module named jsonschema") != std::string::npos)
    GTEST_SKIP() << "python3-jsonschema is missing";
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
}

TEST_P(Report, NamesWorkloadAndMachine) {
  EXPECT_EQ(report_["workload"]["name"], std::string_view(GetParam()) == "fork" ? "fork" : "single");
  EXPECT_FALSE(report_["machine"]["kind"].get<std::string>().empty());
  EXPECT_GT(report_["workload"]["cycles"], 0);
  EXPECT_GT(report_["client"]["p50_us"], 0);
}

INSTANTIATE_TEST_SUITE_P(Bench, Report, ::testing::Values("fork", "single", "poll"),
                         [](const auto& one) { return std::string(one.param); });

class TracedReport : public Report {};

TEST_P(TracedReport, IsWhole) {
  EXPECT_LE(report_["unattributed_share"], 0.02);
  EXPECT_EQ(report_["clock"]["violations"], 0);
  EXPECT_GT(report_["clock"]["exchanges"], 10);
  EXPECT_GT(report_["clock"]["bound_us"], 0);
  const json& compared = report_["probe_tax"]["compared"];  // its size depends on the machine
  ASSERT_TRUE(compared.is_object());
  EXPECT_EQ(compared["untraced_n"], report_["workload"]["cycles"]);
  EXPECT_LE(compared["low_us"], compared["difference_us"]);
  // KVM's own clock may disagree, but the report must have asked it.
  for (const char* id : {"tsc_offset", "kvm_clock"}) {
    const json& check = report_["clock"]["checks"][id];
    EXPECT_TRUE(check["readings"] > 10 || check["outcome"] == "not offered") << id << " " << check;
  }
  EXPECT_EQ(report_["drops"]["host"], 0);
  EXPECT_EQ(report_["drops"]["guest"], 0);
}

TEST_P(TracedReport, TotalIsWithinFivePercentOfTheClientsOwnClock) {
  const double total_us = report_["total"]["p50_us"];
  const double client_us = report_["client"]["p50_us"];
  EXPECT_NEAR(total_us, client_us, 0.05 * client_us);
}

TEST_P(TracedReport, SharesSumToOne) {
  double sum = report_["unattributed_share"];
  for (const json& one : report_["segments"]) {
    if (one["share"].is_number()) sum += one["share"].get<double>();
  }
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST_P(TracedReport, StatesNoP99OfFewCycles) {
  EXPECT_TRUE(report_["total"]["p99_us"].is_null());
  EXPECT_TRUE(report_["client"]["p99_us"].is_null());
  for (const json& one : report_["segments"])
    EXPECT_TRUE(one["p99_us"].is_null()) << one["id"];
}

INSTANTIATE_TEST_SUITE_P(Bench, TracedReport, ::testing::Values("fork", "poll"),
                         [](const auto& one) { return std::string(one.param); });

class ForkReport : public Report {};

TEST_P(ForkReport, HasTheRowsOfACycle) {
  for (const char* id : {"guest_fork_exec", "guest_client_start", "guest_syn_out", "kick_syn", "host_connect",
                         "irq_syn_ack", "server_accept_wait", "server_think", "guest_close", "guest_reap"}) {
    const json* one = segment(report_, id);
    ASSERT_NE(one, nullptr) << id;
    EXPECT_TRUE((*one)["share"].is_number()) << id << " was not seen";
  }
}

TEST_P(ForkReport, StartingTheClientIsASegmentOfItsOwn) {
  EXPECT_GT(share(report_, "guest_fork_exec"), 0);
  EXPECT_EQ((*segment(report_, "guest_fork_exec"))["side"], "guest");
}

INSTANTIATE_TEST_SUITE_P(Bench, ForkReport, ::testing::Values("fork"),
                         [](const auto& one) { return std::string(one.param); });

class PollReport : public Report {};

TEST_P(PollReport, TheSleepIsFoundWhereItIs) {
  const double wait = share(report_, "server_accept_wait");
  for (const json& one : report_["segments"]) {
    if (one["id"] == "server_accept_wait" || !one["share"].is_number()) continue;
    EXPECT_LT(one["share"], wait) << one["id"];
  }
  EXPECT_GT(wait, report_["unattributed_share"].get<double>());
}

INSTANTIATE_TEST_SUITE_P(Bench, PollReport, ::testing::Values("poll"),
                         [](const auto& one) { return std::string(one.param); });

// --- a lost boundary shows ---

trace::Trace without(trace::Trace trace, std::uint16_t kind) {
  for (trace::Side* side : {&trace.host, &trace.guest}) {
    std::erase_if(side->events, [&](const gb_event& event) { return event.kind == kind; });
  }
  return trace;
}

std::int64_t unattributed(const trace::Attribution& attribution) {
  return std::accumulate(attribution.cycles.begin(), attribution.cycles.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& cycle) { return sum + cycle.unattributed_ns; });
}

// Time of the steps that begin or end at a boundary of this kind and have a segment.
std::int64_t time_at(const trace::Attribution& attribution, std::uint16_t kind) {
  std::int64_t sum = 0;
  for (const auto& cycle : attribution.cycles) {
    for (const trace::Step& step : cycle.path.steps) {
      const bool touches = trace::slot_kind(step.from) == kind || trace::slot_kind(step.to) == kind;
      if (touches && step.segment != trace::Segment::kUnattributed) sum += step.end_ns - step.begin_ns;
    }
  }
  return sum;
}

// For every kind of event that is a boundary of a segment. The ends of a cycle stay known without it, because
// two events mark each end.
TEST(LostBoundary, RaisesUnattributedByItsTime) {
  const auto whole = trace::read_trace(traces_dir() / "fork.trace");
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  const trace::ClockReport clock = trace::derive_clock(*whole);
  const trace::Attribution before = trace::attribute(*whole, clock);
  ASSERT_GT(before.cycles.size(), 100u);

  std::set<std::uint16_t> kinds;
  for (std::size_t slot = 0; slot < static_cast<std::size_t>(trace::Slot::kCount); ++slot)
    kinds.insert(trace::slot_kind(static_cast<trace::Slot>(slot)));
  for (const std::uint16_t kind : kinds) {
    SCOPED_TRACE(fmt::format("without {}", trace::kind_name(kind)));
    const trace::Attribution after = trace::attribute(without(*whole, kind), clock);
    ASSERT_EQ(after.cycles.size(), before.cycles.size());
    EXPECT_GE(unattributed(after) - unattributed(before), time_at(before, kind));
    for (std::size_t k = 0; k < after.cycles.size(); ++k) {
      const auto& cycle = after.cycles[k];
      EXPECT_EQ(cycle.total_ns(), before.cycles[k].total_ns());
      EXPECT_EQ(std::accumulate(cycle.segment_ns.begin(), cycle.segment_ns.end(), cycle.unattributed_ns),
                cycle.total_ns());
    }
  }
}

// Thread states come from the vCPUs' exits and the schedulers of both sides. They must cover each step
// exactly.
TEST(States, CoverEveryStep) {
  const auto whole = trace::read_trace(traces_dir() / "fork.trace");
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  const trace::ClockReport clock = trace::derive_clock(*whole);
  const trace::CycleStates states(*whole, clock);
  ASSERT_TRUE(states.knows_vcpus());
  ASSERT_TRUE(states.knows(trace::Actor::kClient));
  std::int64_t total_ns = 0, unknown_ns = 0, exit_ns = 0;
  for (const auto& cycle : trace::attribute(*whole, clock).cycles) {
    for (const trace::Step& step : cycle.path.steps) {
      const trace::StateSplit split = states.split(cycle, step);
      EXPECT_EQ(std::accumulate(split.begin(), split.end(), std::int64_t{0}), step.end_ns - step.begin_ns);
      unknown_ns += split[static_cast<std::size_t>(trace::ThreadState::kUnknown)];
      exit_ns += split[static_cast<std::size_t>(trace::ThreadState::kExit)];
      total_ns += step.end_ns - step.begin_ns;
    }
  }
  EXPECT_LT(unknown_ns, total_ns / 50);  // unknown only where the first cycle begins
  EXPECT_GT(exit_ns, 0);                 // a kick is an exit
}

}  // namespace
}  // namespace glassbox::bench::testing
