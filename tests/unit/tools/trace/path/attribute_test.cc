#include "tools/trace/path/attribute.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/kinds.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using testing::make_trace;
using testing::without_kind;

std::int64_t segment(const CycleResult& c, Segment s) {
  return c.segment_ns[static_cast<std::size_t>(s)];
}

void expect_exact_sum(const CycleResult& c) {
  const std::int64_t sum = std::accumulate(c.segment_ns.begin(), c.segment_ns.end(), c.unattributed_ns);
  EXPECT_EQ(sum, c.total_ns());
  std::int64_t at = c.begin_ns;
  for (const Step& step : c.path.steps) {
    EXPECT_EQ(step.begin_ns, at);
    EXPECT_GE(step.end_ns, step.begin_ns) << slot_name(step.from) << " -> " << slot_name(step.to);
    at = step.end_ns;
  }
  EXPECT_EQ(at, c.end_ns);
}

Attribution attribute_all(const Trace& trace) {
  return attribute(trace, derive_clock(trace));
}

// Every kind of cycle that the builder makes.
std::vector<CycleOptions> all_variants() {
  std::vector<CycleOptions> out;
  for (const bool fork : {true, false})
    for (int bits = 0; bits < 64; ++bits) {
      CycleOptions o;
      o.fork = fork;
      o.late_accept = bits & 1, o.late_eof = bits & 2, o.suppress_irq = bits & 4, o.late_irq = bits & 8;
      o.late_read = bits & 16, o.late_send_probe = bits & 32;
      out.push_back(o);
    }
  return out;
}

TEST(Attribute, EveryNanosecondOfACompleteTraceHasItsSegment) {
  for (const CycleOptions& o : all_variants()) {
    const Trace trace = make_trace(5, o);
    const Attribution a = attribute_all(trace);
    ASSERT_EQ(a.cycles.size(), 5U);
    EXPECT_EQ(a.incomplete, 0U);
    for (const CycleResult& c : a.cycles) {
      expect_exact_sum(c);
      EXPECT_EQ(c.unattributed_ns, 0);
      EXPECT_EQ(c.kind, o.fork ? CycleKind::kFork : CycleKind::kSingle);
      for (const Step& s : c.path.steps)
        EXPECT_NE(s.segment, Segment::kUnattributed) << slot_name(s.from) << " -> " << slot_name(s.to);
    }
  }
}

TEST(Attribute, AcceptWaitIsOnThePathOnlyWhenTheRequestWaits) {
  CycleOptions late;
  late.late_accept = true;
  late.fork = false;
  for (const CycleResult& c : attribute_all(make_trace(10, late)).cycles) {
    EXPECT_GT(segment(c, Segment::server_accept_wait), c.total_ns() / 2);
  }
  for (const CycleResult& c : attribute_all(make_trace(10, {})).cycles) {
    EXPECT_EQ(segment(c, Segment::server_accept_wait), 0);
    EXPECT_TRUE(c.segment_seen[static_cast<std::size_t>(Segment::server_accept_wait)]);
  }
}

TEST(Attribute, SegmentsThatAreNotSeenAreNotZero) {
  const Trace trace = without_kind(make_trace(3, {}), GB_KIND_host_server_write_enter);
  const Attribution a = attribute_all(trace);
  for (const CycleResult& c : a.cycles)
    EXPECT_FALSE(c.segment_seen[static_cast<std::size_t>(Segment::server_think)]);
  EXPECT_TRUE(a.applies[static_cast<std::size_t>(Segment::server_think)]);
  EXPECT_FALSE(a.applies[static_cast<std::size_t>(Segment::remote_server)]);
}

// Removes one kind of boundary and compares with the path of the whole trace: exactly the time of the steps
// that touched it becomes unattributed.
class DroppedKind : public ::testing::TestWithParam<std::uint16_t> {};

TEST_P(DroppedKind, RaisesUnattributedByItsSteps) {
  const std::uint16_t kind = GetParam();
  for (const bool late_accept : {false, true}) {
    CycleOptions o;
    o.late_accept = late_accept;
    o.late_eof = false;
    const Trace trace = make_trace(4, o);
    const ClockReport clock = derive_clock(trace);
    const Attribution full = attribute(trace, clock);
    const Attribution less = attribute(without_kind(trace, kind), clock);
    ASSERT_EQ(less.cycles.size(), full.cycles.size()) << kind_name(kind);
    for (std::size_t k = 0; k < full.cycles.size(); ++k) {
      const CycleResult& a = full.cycles[k];
      const CycleResult& b = less.cycles[k];
      expect_exact_sum(b);
      std::int64_t touched = 0;
      for (const Step& s : a.path.steps)
        if (slot_kind(s.from) == kind || slot_kind(s.to) == kind) touched += s.end_ns - s.begin_ns;
      EXPECT_EQ(a.total_ns(), b.total_ns());
      // More than their own steps depends on these: whether the server was late to read, whether the request
      // was sent before it read, whether the client had to wait for the end of file, and whether the guest's
      // interrupt was for this frame.
      if (kind == GB_KIND_host_server_read_enter || kind == GB_KIND_host_server_read ||
          kind == GB_KIND_guest_receive || kind == GB_KIND_irq_raise)
        EXPECT_GE(b.unattributed_ns, touched) << kind_name(kind);
      else
        EXPECT_EQ(b.unattributed_ns, touched) << kind_name(kind) << " late_accept " << late_accept;
      for (std::size_t s = 0; s < kSegments; ++s)
        EXPECT_LE(b.segment_ns[s], a.segment_ns[s]);
    }
  }
}

std::vector<std::uint16_t> boundary_kinds() {
  std::vector<std::uint16_t> kinds;
  for (std::size_t s = 0; s < static_cast<std::size_t>(Slot::kCount); ++s) {
    const std::uint16_t kind = slot_kind(static_cast<Slot>(s));
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  }
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(EveryBoundary, DroppedKind, ::testing::ValuesIn(boundary_kinds()),
                         [](const auto& p) { return std::string(kind_name(p.param)); });

TEST(Attribute, NothingGrowsWhateverKindIsMissing) {
  for (const CycleOptions& o : all_variants()) {
    const Trace trace = make_trace(2, o);
    const ClockReport clock = derive_clock(trace);
    const Attribution full = attribute(trace, clock);
    for (std::uint16_t kind = 1; kind < GB_KIND_LIMIT; ++kind) {
      if (kind_name(kind) == "?") continue;
      // Two boundaries are known to be late only from their successor.
      if (o.late_irq && kind == GB_KIND_guest_receive) continue;
      if (o.late_send_probe && kind == GB_KIND_host_sock_state) continue;
      const Attribution less = attribute(without_kind(trace, kind), clock);
      if (less.cycles.size() != full.cycles.size()) {
        ADD_FAILURE() << "without " << kind_name(kind) << " there are " << less.cycles.size() << " cycles";
        continue;
      }
      for (std::size_t k = 0; k < full.cycles.size(); ++k) {
        expect_exact_sum(less.cycles[k]);
        for (std::size_t s = 0; s < kSegments; ++s)
          EXPECT_LE(less.cycles[k].segment_ns[s], full.cycles[k].segment_ns[s])
              << "without " << kind_name(kind) << ": " << segment_info(static_cast<Segment>(s)).id;
      }
    }
  }
}

TEST(Attribute, HostSegmentsDoNotDependOnTheGuestsEvents) {
  Trace trace = make_trace(3, {});
  const ClockReport clock = derive_clock(trace);
  const Attribution honest = attribute(trace, clock);
  for (gb_event& e : trace.guest.events)
    if (e.kind == GB_KIND_guest_xmit || e.kind == GB_KIND_guest_receive) e.ts_ns += 700'000;
  const Attribution lying = attribute(trace, clock);
  ASSERT_EQ(lying.cycles.size(), honest.cycles.size());
  for (std::size_t k = 0; k < honest.cycles.size(); ++k) {
    expect_exact_sum(lying.cycles[k]);
    for (std::size_t s = 0; s < kSegments; ++s) {
      if (segment_info(static_cast<Segment>(s)).side != Where::host) continue;
      EXPECT_LE(lying.cycles[k].segment_ns[s], honest.cycles[k].segment_ns[s]);
    }
  }
}

TEST(Attribute, ALostReapMakesOnlyItsCycleIncomplete) {
  Trace trace = make_trace(6, {});
  int reaps = 0, waits = 0;
  std::erase_if(trace.guest.events,
                [&](const gb_event& e) { return e.kind == GB_KIND_guest_reap && ++reaps == 6; });
  ASSERT_EQ(attribute_all(trace).cycles.size(), 6U);  // wait4() marks the same moment
  std::erase_if(trace.guest.events,
                [&](const gb_event& e) { return e.kind == GB_KIND_guest_waited && ++waits == 6; });
  const Attribution a = attribute_all(trace);
  EXPECT_EQ(a.cycles.size(), 5U);
  EXPECT_EQ(a.incomplete, 1U);
}

TEST(Attribute, HostOnlyTraceHasTheHostsCycles) {
  Trace trace = make_trace(4, {});
  trace.guest.events.clear();
  const Attribution a = attribute_all(trace);
  ASSERT_EQ(a.cycles.size(), 4U);
  for (const CycleResult& c : a.cycles) {
    expect_exact_sum(c);
    EXPECT_EQ(c.kind, CycleKind::kHostOnly);
    EXPECT_EQ(c.unattributed_ns, 0);
    EXPECT_GT(segment(c, Segment::guest_untraced), 0);
  }
}

TEST(Segments, SidesFollowFromTheirPairs) {
  for (const SegmentPair& p : segment_pairs()) {
    const Where side = segment_info(p.segment).side;
    EXPECT_TRUE(side != Where::guest || (is_guest_slot(p.from) && is_guest_slot(p.to))) << slot_name(p.from);
    EXPECT_TRUE(side != Where::host || (!is_guest_slot(p.from) && !is_guest_slot(p.to))) << slot_name(p.from);
  }
}

TEST(Segments, APairBelongsToOneSegment) {
  for (const SegmentPair& p : segment_pairs())
    EXPECT_EQ(segment_of(p.from, p.to), p.segment);
}

// A connection of each IP version between the same ports at once, also between NAT and server.
TEST(Attribute, IpVersionsWithEqualPortsAreDistinguished) {
  for (const bool six_first : {false, true}) {
    testing::TraceBuilder builder;
    for (int k = 0; k < 5; ++k)
      builder.exchange(1'000'000'000 + k * 200'000);
    testing::CycleOptions slow{.fork = false}, fast{.fork = false};
    slow.ipv6 = six_first;
    fast.ipv6 = !six_first;
    slow.port = fast.port = 41'000;
    slow.think_ns = 40'000'000;
    builder.cycle(1'010'000'000, slow);
    builder.cycle(1'025'000'000, fast);
    builder.idle(1'010'000'000, 1'090'000'000);
    const Trace trace = builder.build();
    const ClockReport clock = derive_clock(trace);
    EXPECT_EQ(clock.hull->violations(), 0U);
    EXPECT_GE(clock.evidence.frames, 8U);
    const Attribution a = attribute(trace, clock);
    ASSERT_EQ(a.cycles.size(), 2U);
    EXPECT_EQ(a.without_flow, 0U);
    for (const CycleResult& c : a.cycles) {
      EXPECT_EQ(c.unattributed_ns, 0);
      const bool is_slow = c.flow == 1;
      EXPECT_EQ(c.segment_ns[static_cast<std::size_t>(Segment::server_think)] > 30'000'000, is_slow);
    }
    EXPECT_NE(a.cycles[0].flow, a.cycles[1].flow);
  }
}

}  // namespace
}  // namespace glassbox::trace
