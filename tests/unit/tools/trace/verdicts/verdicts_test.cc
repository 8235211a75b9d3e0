// Each claim on traces of known truth with one delay in one place: the right verdict is confirmed, and no
// other that was not confirmed without the delay.
#include "tools/trace/verdicts/verdicts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "bpf/event_args.h"
#include "bpf/reasons.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using ::testing::HasSubstr;
using testing::make_trace;
using testing::without_kind;

constexpr std::int64_t kMs = 1'000'000;

std::vector<Verdict> verdicts_of(const Trace& trace) {
  return make_report(trace).verdicts;
}

const Verdict& find(const std::vector<Verdict>& verdicts, std::string_view id) {
  const auto it =
      std::find_if(verdicts.begin(), verdicts.end(), [id](const Verdict& v) { return v.id == id; });
  if (it == verdicts.end()) throw std::runtime_error("no verdict " + std::string(id));
  return *it;
}

std::set<std::string> confirmed(const Trace& trace) {
  std::set<std::string> ids;
  for (const Verdict& v : verdicts_of(trace))
    if (v.outcome == Outcome::kConfirmed) ids.emplace(v.id);
  return ids;
}

struct Case {
  const char* name;
  const char* id;
  CycleOptions options;
};

CycleOptions single(void (*set)(CycleOptions&)) {
  CycleOptions o;
  o.fork = false;
  set(o);
  return o;
}

std::vector<Case> cases() {
  using O = CycleOptions;
  O fork;
  fork.exec_ns = 20 * kMs;
  return {
      {"exec", "guest_fork_exec", fork},
      {"before_connect", "guest_client", single([](O& o) { o.start_ns = 20 * kMs; })},
      {"before_send", "guest_client", single([](O& o) { o.request_ns = 20 * kMs; })},
      {"before_close", "guest_client", single([](O& o) { o.close_ns = 20 * kMs; })},
      {"host_connect", "host_connect", single([](O& o) { o.host_connect_ns = 20 * kMs; })},
      {"accept", "server_accept_wait", single([](O& o) { o.late_accept = true; })},
      {"read", "server_read_wait", single([](O& o) { o.late_read = true, o.read_ns = 20 * kMs; })},
      {"think", "server_think", single([](O& o) { o.think_ns = 20 * kMs; })},
      {"timeout", "net_poll_timeout", single([](O& o) { o.kick_ns = 20 * kMs, o.wake = O::Wake::kTimeout; })},
      {"delayed_ack", "delayed_ack", single([](O& o) { o.second_send_ns = 40 * kMs; })},
      {"delayed_ack_at_the_server", "delayed_ack", single([](O& o) { o.write_ns = 40 * kMs; })},
      {"delayed_ack_within_the_reply", "delayed_ack", single([](O& o) { o.rest_ns = 40 * kMs; })},
      {"syn_again_while_connecting", "host_connect",
       single([](O& o) { o.host_connect_ns = 20 * kMs, o.syn_again = true; })},
      {"syn_twice", "retransmission", single([](O& o) { o.syn_twice = true; })},
      {"syn_late", "retransmission", single([](O& o) { o.syn_ns = 1000 * kMs; })},
  };
}

class OneDelay : public ::testing::TestWithParam<Case> {};

TEST_P(OneDelay, ConfirmsItsVerdictAndNoOther) {
  const Case& c = GetParam();
  CycleOptions undelayed;
  undelayed.fork = c.options.fork;
  const auto before = confirmed(make_trace(20, undelayed));
  const auto found = confirmed(make_trace(20, c.options));
  EXPECT_TRUE(found.contains(c.id)) << ::testing::PrintToString(found);
  for (const std::string& id : found) {
    // A client whose second segment is held back cannot close: both claims hold for that time.
    const bool also_true = std::string(c.name) == "delayed_ack" && id == "guest_client";
    EXPECT_TRUE(id == c.id || also_true || before.contains(id)) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Verdicts, OneDelay, ::testing::ValuesIn(cases()),
                         [](const auto& p) { return std::string(p.param.name); });

// Every second cycle has a delay: a small share of all time, but the whole difference between the cycles.
TEST(Verdicts, TheCauseOfSlowCyclesIsConfirmed) {
  CycleOptions fast, slow;
  fast.fork = slow.fork = false;
  slow.think_ns = 1'000'000;
  testing::TraceBuilder builder;
  std::int64_t t = 1'000'000'000;
  builder.exchange(t += 200'000);
  for (int k = 0; k < 40; ++k)
    t = builder.cycle(t + 1'000'000, k % 2 == 0 ? fast : slow);
  builder.exchange(t + 200'000);
  const Trace trace = builder.build();
  const auto verdicts = verdicts_of(trace);
  const Verdict& think = find(verdicts, "server_think");
  EXPECT_THAT(think.evidence, ::testing::StartsWith("2")) << "must be below the share, or this tests nothing";
  EXPECT_THAT(think.evidence, HasSubstr("of what the slower half takes more"));
  EXPECT_THAT(confirmed(trace), ::testing::ElementsAre("server_think"));
}

TEST(Verdicts, ALateKickIsNotCausedByTheTimeout) {
  for (const auto wake : {CycleOptions::Wake::kKick, CycleOptions::Wake::kOther}) {
    CycleOptions o;
    o.fork = false;
    o.kick_ns = 20 * kMs;
    o.wake = wake;
    EXPECT_THAT(confirmed(make_trace(20, o)), ::testing::IsEmpty());
  }
}

TEST(Verdicts, ASleepThatBeginsWithAFrameReadyIsAMissingWake) {
  CycleOptions o;
  o.fork = false;
  o.kick_ns = 20 * kMs;
  o.sleep_on = true;
  o.wake = CycleOptions::Wake::kOther;
  EXPECT_THAT(confirmed(make_trace(20, o)), ::testing::ElementsAre("missing_wake"));
  o.wake = CycleOptions::Wake::kKick;  // the guest was slow to kick
  EXPECT_THAT(confirmed(make_trace(20, o)), ::testing::IsEmpty());
}

// Without the guest's events a step that ends with its request contains the guest's own time: nothing was
// ready. The same trace with the guest's side shows that.
TEST(Verdicts, TheGuestsOwnTimeIsNoMissingWake) {
  CycleOptions o;
  o.fork = false;
  o.request_ns = 20 * kMs;
  o.sleep_on = true;
  for (const auto wake :
       {CycleOptions::Wake::kKick, CycleOptions::Wake::kOther, CycleOptions::Wake::kTimeout}) {
    o.wake = wake;
    Trace trace = make_trace(20, o);
    const auto full = find(verdicts_of(trace), "missing_wake");
    EXPECT_EQ(full.outcome, Outcome::kFalsified) << full.evidence;
    trace.guest = {};
    for (const char* id : {"missing_wake", "net_poll_timeout"}) {
      const auto alone = find(verdicts_of(trace), id);
      EXPECT_EQ(alone.outcome, Outcome::kNotTestable) << id << ": " << alone.evidence;
      EXPECT_THAT(alone.evidence, HasSubstr("missing: the guest's transmits"));
    }
  }
}

Trace refused(RefuseReason reason, int times) {
  Trace trace = make_trace(3);
  gb_event e = trace.host.events.back();
  e.kind = GB_KIND_flow_refused;
  args::flow_refused(e).reason = static_cast<std::uint64_t>(reason);
  for (int k = 0; k < times; ++k)
    trace.host.events.push_back(e);
  return trace;
}

// Every reason, so that a new one has to be sorted as well.
TEST(Verdicts, RefusalsAreNamedAndWhatRanOutIsConfirmed) {
  const std::set<RefuseReason> ran_out = {RefuseReason::kTableFull, RefuseReason::kHostResources,
                                          RefuseReason::kTooManyConnecting, RefuseReason::kTooManyFlows,
                                          RefuseReason::kTooManyNewFlows};
  for (std::size_t k = 1; k < kRefuseReasons; ++k) {
    const auto reason = static_cast<RefuseReason>(k);
    const Verdict v = find(verdicts_of(refused(reason, 50)), "flow_table_pressure");
    EXPECT_EQ(v.outcome, ran_out.contains(reason) ? Outcome::kConfirmed : Outcome::kFalsified) << v.evidence;
    EXPECT_THAT(v.evidence, HasSubstr("50 x " + std::string(name_of(reason))));
  }
}

TEST(Verdicts, WhatIsMissingIsNamedAndNotGuessed) {
  const Trace trace = make_trace(5);
  const struct {
    std::uint16_t kind;
    const char* id;
    const char* says;
  } lacking[] = {
      {GB_KIND_host_accept, "server_accept_wait", "host_accept"},
      {GB_KIND_host_server_write_enter, "server_think", "host_server_write_enter"},
      {GB_KIND_tcp_connect_done, "host_connect", "tcp_connect_done"},
      {GB_KIND_net_poll_wake, "net_poll_timeout", "net_poll_wake"},
      {GB_KIND_net_poll_wake, "missing_wake", "net_poll_wake"},
      {GB_KIND_flow_refused, "flow_table_pressure", "flow_refused"},
  };
  for (const auto& l : lacking) {
    const auto verdicts = verdicts_of(without_kind(trace, l.kind));
    EXPECT_EQ(find(verdicts, l.id).outcome, Outcome::kNotTestable) << l.id;
    EXPECT_THAT(find(verdicts, l.id).evidence, HasSubstr(l.says));
  }
  const Trace no_reads =
      without_kind(without_kind(trace, GB_KIND_host_server_read), GB_KIND_host_server_read_enter);
  EXPECT_EQ(find(verdicts_of(no_reads), "server_read_wait").outcome, Outcome::kNotTestable);
  Trace host_only = trace;
  host_only.guest = {};
  for (const char* id : {"guest_fork_exec", "guest_client", "delayed_ack"})
    EXPECT_EQ(find(verdicts_of(host_only), id).outcome, Outcome::kNotTestable) << id;
  for (const Verdict& v : verdicts_of(Trace{})) {
    EXPECT_EQ(v.outcome, Outcome::kNotTestable) << v.id;
    EXPECT_FALSE(v.evidence.empty()) << v.id;
  }
}

// Unattributed time may contain the server's late read(): then the claim is not falsified.
TEST(Verdicts, UnattributedTimeThatCouldDecideLeavesItOpen) {
  CycleOptions o;
  o.fork = false;
  o.late_read = true;
  o.read_ns = 20 * kMs;
  const auto verdicts = verdicts_of(without_kind(make_trace(5, o), GB_KIND_host_server_read_enter));
  EXPECT_EQ(find(verdicts, "server_read_wait").outcome, Outcome::kNotTestable);
  EXPECT_THAT(find(verdicts, "server_read_wait").evidence, HasSubstr("unattributed"));
}

TEST(Verdicts, AnAttachedHookWithoutEventsFalsifies) {
  Trace trace = make_trace(3);
  trace.host.hooks = {bpf::parse_hook("flow_refused usdt")};
  EXPECT_EQ(find(verdicts_of(trace), "flow_table_pressure").outcome, Outcome::kFalsified);
  trace.host.hooks = {bpf::parse_hook("flow_refused missing the program has no such probe")};
  EXPECT_EQ(find(verdicts_of(trace), "flow_table_pressure").outcome, Outcome::kNotTestable);
}

TEST(Verdicts, ArePrintedBelowTheTable) {
  CycleOptions o;
  o.fork = false;
  o.late_accept = true;
  const std::string table = format_table(make_report(make_trace(20, o)));
  EXPECT_THAT(table, HasSubstr("\nverdicts:\n"));
  EXPECT_THAT(table, HasSubstr("  confirmed         the server's late accept() dominates the cycle"));
  EXPECT_THAT(
      table, HasSubstr("criterion: server_accept_wait (not while runnable) >= 25 % of the cycles' time, or"));
}

}  // namespace
}  // namespace glassbox::trace
