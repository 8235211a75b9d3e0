// A server in another network namespace: a slow or lossy wire is not a late server, and no sleep on work that
// is ready. A server that waits for a CPU is not late either.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "bpf/event_args.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using ::testing::HasSubstr;
using testing::make_trace;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::uint32_t kServerTid = 88;

const CycleOptions kOverWire = {.fork = false, .wire_ns = 10 * kMs};

std::set<std::string> confirmed(const Trace& trace) {
  std::set<std::string> ids;
  for (const Verdict& v : make_report(trace).verdicts)
    if (v.outcome == Outcome::kConfirmed) ids.emplace(v.id);
  return ids;
}

Verdict verdict(const Trace& trace, std::string_view id) {
  for (const Verdict& v : make_report(trace).verdicts)
    if (v.id == id) return v;
  throw std::runtime_error("no verdict " + std::string(id));
}

// connect() waits for the wire's round trip: that claim is right.
TEST(WireVerdicts, ASlowWireIsNoLateServer) {
  for (const bool traced : {true, false}) {
    Trace trace = make_trace(20, kOverWire);
    if (!traced) trace.guest = {};
    EXPECT_THAT(confirmed(trace), ::testing::IsSubsetOf({"host_connect"}));
    EXPECT_EQ(verdict(trace, "server_read_wait").outcome, Outcome::kFalsified);
    EXPECT_EQ(verdict(trace, "server_accept_wait").outcome, Outcome::kFalsified);
  }
}

TEST(WireVerdicts, ALateServerBehindASlowWireIsFound) {
  CycleOptions o = kOverWire;
  o.late_accept = true;
  o.accept_delay_ns = 100 * kMs;
  EXPECT_TRUE(confirmed(make_trace(20, o)).contains("server_accept_wait"));
  o = kOverWire;
  o.late_read = true;
  o.read_ns = 100 * kMs;
  EXPECT_TRUE(confirmed(make_trace(20, o)).contains("server_read_wait"));
}

// Nothing says how long the wire takes: its time could be the server's.
TEST(WireVerdicts, AWireOfUnknownLengthLeavesTheServersClaimsOpen) {
  CycleOptions o = kOverWire;
  o.late_read = true;
  o.read_ns = 20 * kMs;
  Trace trace = make_trace(20, o);
  std::erase_if(trace.host.events, [](const gb_event& e) {
    return e.kind == GB_KIND_host_sock_state && args::host_sock_state(e).old_state == 3;
  });
  const Verdict v = verdict(trace, "server_read_wait");
  EXPECT_EQ(v.outcome, Outcome::kNotTestable);
  EXPECT_THAT(v.evidence, HasSubstr("missing: when requests arrived over the wire"));
}

TEST(WireVerdicts, ALostSegmentIsARetransmissionAndNoLateServer) {
  CycleOptions o = kOverWire;
  o.wire_ns = kMs;
  o.lost_ns = 200 * kMs;
  const Trace trace = make_trace(20, o);
  EXPECT_THAT(confirmed(trace), ::testing::ElementsAre("retransmission"));
  EXPECT_THAT(verdict(trace, "retransmission").evidence, HasSubstr("20 of 20 cycles waited"));
}

TEST(WireVerdicts, NoResendIsFalsifiedOnlyWhereItWouldHaveBeenSeen) {
  Trace trace = make_trace(20, kOverWire);
  EXPECT_EQ(verdict(trace, "retransmission").outcome, Outcome::kNotTestable);
  EXPECT_THAT(verdict(trace, "retransmission").evidence, HasSubstr("tcp_retransmit_skb"));
  trace.host.hooks = {bpf::parse_hook("tcp_retransmit_skb tp_btf")};
  EXPECT_EQ(verdict(trace, "retransmission").outcome, Outcome::kFalsified);
  EXPECT_EQ(verdict(make_trace(20, {.fork = false}), "retransmission").outcome, Outcome::kFalsified)
      << "on loopback nothing is lost";
}

// The server is woken by the request and gets a CPU only 20 ms later.
TEST(ServerScheduling, AStarvedServerIsNotLate) {
  CycleOptions o;
  o.fork = false;
  o.late_accept = true;
  Trace trace = make_trace(20, o);
  testing::TraceBuilder b;
  b.host(1000, GB_KIND_host_sched_in, 0, {kServerTid, kServerTid});
  b.host(2000, GB_KIND_host_sched_out, kServerTid, {kServerTid, kServerTid, 0});
  const Trace states = b.build();
  trace.host.events.insert(trace.host.events.begin(), states.host.events.begin(), states.host.events.end());
  EXPECT_THAT(confirmed(trace), ::testing::ElementsAre("server_not_scheduled"));
  EXPECT_EQ(verdict(make_trace(20, o), "server_not_scheduled").outcome, Outcome::kNotTestable);
  EXPECT_THAT(verdict(make_trace(20, o), "server_not_scheduled").evidence, HasSubstr("scheduling events"));
}

}  // namespace
}  // namespace glassbox::trace
