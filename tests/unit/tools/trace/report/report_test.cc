#include "tools/trace/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/waterfall.h"

namespace glassbox::trace {
namespace {

using ::testing::HasSubstr;
using testing::make_trace;
using ::testing::Not;
using testing::without_kind;

const SegmentRow& row(const Report& r, Segment s) {
  return r.segments[static_cast<std::size_t>(s)];
}

Trace described_trace(int cycles) {
  Trace trace = make_trace(cycles);
  trace.info = {
      {"machine",
       {{"kind", "lab"}, {"cpu", "EPYC"}, {"kernel", "Linux 6.1"}, {"virtualization", "on TCGTCGTCGTCG"}}}};
  trace.meta = {{"workload", {{"name", "fork"}, {"server", "blocking"}, {"cycles", cycles}}},
                {"client", {{"p50_us", 8510.5}, {"p90_us", 12000.0}, {"p99_us", nullptr}}}};
  for (const char* line :
       {"rx_inject usdt", "tcp_syn usdt 2 sites", "irq_raise missing the program has no such probe"})
    trace.host.hooks.push_back(bpf::parse_hook(line));
  trace.guest.hooks = {bpf::parse_hook("kernel_clone kprobe")};
  return trace;
}

// Checks against the schema with Python's jsonschema; false if that is not installed.
bool schema_accepts(const nlohmann::json& report, bool& accepts) {
  if (std::system("python3 -c 'import jsonschema' 2>/dev/null") != 0) return false;
  std::string path = std::filesystem::temp_directory_path() / "glassbox-report-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) return false;
  ::close(fd);
  std::ofstream(path) << report.dump();
  const std::string command =
      "python3 -c 'import json,sys,jsonschema; "
      "jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))' " GLASSBOX_SOURCE_DIR
      "/tools/trace/report/report.schema.json '" +
      path + "' 2>/dev/null";
  accepts = std::system(command.c_str()) == 0;
  std::filesystem::remove(path);
  return true;
}

TEST(Report, JsonFollowsItsSchema) {
  bool accepts = false;
  auto full = to_json(make_report(described_trace(20)));
  if (!schema_accepts(full, accepts)) GTEST_SKIP() << "python3-jsonschema is not installed";
  EXPECT_TRUE(accepts) << full.dump(2);
  // An empty report has null for everything that may not be stated.
  EXPECT_TRUE(schema_accepts(to_json(make_report(Trace{})), accepts) && accepts);
  // The schema also rejects.
  full["segments"][0]["share"] = "most";
  EXPECT_TRUE(schema_accepts(full, accepts) && !accepts);
}

TEST(Report, SharesSumToOne) {
  for (const std::uint16_t kind : {0, 9, 139}) {
    const Report r = make_report(without_kind(make_trace(10), kind));
    double sum = *r.unattributed_share;
    for (const SegmentRow& s : r.segments)
      sum += s.share.value_or(0);
    EXPECT_NEAR(sum, 1.0, 1e-9);
  }
}

TEST(Report, NoP99FromFewCycles) {
  EXPECT_FALSE(percentiles(std::vector<std::int64_t>(999, 5)).p99_ns);
  EXPECT_EQ(percentiles(std::vector<std::int64_t>(1000, 5)).p99_ns, 5);
}

TEST(Report, PercentilesAreNearestRank) {
  const Percentiles p = percentiles({40, 10, 30, 20, 50, 60, 70, 80, 90, 100});
  EXPECT_EQ(p.p50_ns, 50);
  EXPECT_EQ(p.p90_ns, 90);
  EXPECT_EQ(percentiles({7}).p50_ns, 7);
  EXPECT_FALSE(percentiles({}).p50_ns);
}

TEST(Report, WhatWasNotSeenIsNotZero) {
  const Report r = make_report(without_kind(make_trace(5), GB_KIND_host_server_write_enter));
  EXPECT_FALSE(row(r, Segment::server_think).seen);
  EXPECT_FALSE(row(r, Segment::server_think).share);
  EXPECT_TRUE(to_json(r)["segments"][static_cast<std::size_t>(Segment::server_think)]["p50_us"].is_null());
  EXPECT_THAT(format_table(r), HasSubstr("server: think time                           not seen"));
}

TEST(Report, WhatTheClientDidNotStateIsNull) {
  Trace trace = described_trace(1);
  trace.meta["client"].erase("p99_us");
  EXPECT_TRUE(to_json(make_report(trace))["client"].at("p99_us").is_null());
  trace.meta.erase("client");
  EXPECT_TRUE(to_json(make_report(trace))["client"].is_null());
}

TEST(Report, RequiredIdsAreThere) {
  for (const char* id : {"guest_fork_exec", "server_accept_wait", "server_think"}) {
    bool found = false;
    for (std::size_t k = 0; k < kSegments; ++k)
      found |= segment_info(static_cast<Segment>(k)).id == id;
    EXPECT_TRUE(found) << id;
  }
}

TEST(Report, TableHasItsLines) {
  const std::string table = format_table(make_report(described_trace(20)));
  EXPECT_THAT(table, HasSubstr("glassbox fork: 20 cycles, one process per cycle, server blocking\n"));
  EXPECT_THAT(table,
              HasSubstr("machine: lab (nested KVM, software emulated: counts and shares hold, absolute times "
                        "do not), EPYC, Linux 6.1, on TCGTCGTCGTCG\n"));
  EXPECT_THAT(table, HasSubstr(" 0 violations) · dropped events: host 0, guest 0\n"));
  EXPECT_THAT(table, HasSubstr("fork + exec of the client"));
  EXPECT_THAT(table, HasSubstr("\nunattributed "));
  EXPECT_THAT(table, HasSubstr("total by the client's own clock                8.51 ms   12.0 ms"));
  EXPECT_THAT(table, HasSubstr("hooks in the host: 2 usdt; missing: irq_raise\n"));
  EXPECT_THAT(table, HasSubstr("cycles: 20 complete, 0 incomplete"));
  EXPECT_THAT(table, Not(HasSubstr("p99")));
  EXPECT_THAT(format_table(make_report(make_trace(1000))), HasSubstr("p99"));
}

TEST(Report, LossesAreListedByCounterAndEvent) {
  Trace trace = described_trace(3);
  trace.host.drops = {{"ring_full", 9},         {"ring_full:rx_inject", 7},
                      {"ring_full:tcp_syn", 2}, {"map_errors", 0},
                      {"recursion_misses", 4},  {"recursion_misses:tp_btf/sched_switch", 4}};
  trace.guest.drops = {{"ring_full", 0},
                       {"buffer_full", 0},
                       {"recursion_misses", 0},
                       {"kprobe_misses", 1},
                       {"kprobe_misses:guest_clone_begin", 1},
                       {"own_events", 5}};
  trace.guest.impossible_records = 2;
  trace.guest.impossible_by_event = {{"?", 2}};
  const Report r = make_report(trace);
  const std::string table = format_table(r);
  EXPECT_THAT(table, HasSubstr(" · dropped events: host 13, guest 3\n"));
  EXPECT_THAT(table,
              HasSubstr("lost on the host: 9 failed reserves (rx_inject 7, tcp_syn 2), 0 not followed, 4 "
                        "recursion misses (tp_btf/sched_switch 4), 0 gaps in the sequences, 0 impossible "
                        "records\n"));
  EXPECT_THAT(
      table,
      HasSubstr("lost in the guest: 0 failed reserves, 0 buffer full, 0 recursion misses, 1 kprobe "
                "misses (guest_clone_begin 1), 0 gaps in the sequences, 2 impossible records (? 2)\n"));
  const auto json = to_json(r);
  EXPECT_EQ(json["drops"]["counters"][0], (nlohmann::json{{"side", "host"},
                                                          {"counter", "ring_full"},
                                                          {"count", 9},
                                                          {"by", {{"rx_inject", 7}, {"tcp_syn", 2}}}}));
  if (bool accepts = false; schema_accepts(json, accepts)) {
    EXPECT_TRUE(accepts) << json["drops"].dump(2);
  }
}

// A recording whose guest hung up before it sent its counters, and one of the host alone.
TEST(Report, WhatWasNotCountedIsNotZero) {
  Trace trace = described_trace(3);
  trace.guest.drops.clear();
  EXPECT_THAT(format_table(make_report(trace)), HasSubstr("lost in the guest: failed reserves not counted"));
  trace.guest = {};
  EXPECT_THAT(format_table(make_report(trace)), Not(HasSubstr("lost in the guest")));
}

TEST(Report, ViolationIsNamed) {
  Trace trace = make_trace(3);
  for (gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_clock && args::guest_clock(e).exchange == 7) {
      args::guest_clock(e).before_ns += 5'000'000;
      args::guest_clock(e).after_ns += 5'000'000;
    }
  const Report r = make_report(trace);
  EXPECT_GT(r.violations, 0U);
  EXPECT_THAT(format_table(r), HasSubstr("clock violation: exchange 7 on vCPU 0 at host "));
}

TEST(Report, TextFromAGuestCannotMoveTheTerminal) {
  Trace trace = described_trace(1);
  trace.notes = {"a\x1b[2Jb\n"};
  trace.meta["workload"]["title"] = "x\r\ny";
  const std::string table = format_table(make_report(trace));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(table, HasSubstr("note: a?[2Jb?\n"));
  EXPECT_THAT(table, HasSubstr("x??y\n"));
}

TEST(Waterfall, NamesEveryStepAndWhatIsMissing) {
  const Trace trace = without_kind(make_trace(1), GB_KIND_tcp_syn);
  const Attribution a = attribute(trace, derive_clock(trace));
  ASSERT_EQ(a.cycles.size(), 1U);
  const std::string text = format_waterfall(a.cycles[0], 1);
  EXPECT_THAT(text, HasSubstr("unattributed         syn_frame -> host_connect_begin\n"));
  EXPECT_THAT(text, HasSubstr("not seen: syn_flow"));
}

}  // namespace
}  // namespace glassbox::trace
