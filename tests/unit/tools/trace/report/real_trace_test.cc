// Traces of real runs in the lab (data/): six cycles each of a shell loop, of one client, and of one client
// with a server that polls accept() every 200 ms. The lab was busy, so every wait that can be long is long
// once.
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/path/attribute.h"

namespace glassbox::trace {
namespace {

using testing::without_kind;

// Without events of a kind, unattributed grows by the time of the steps that the kind bounds. It grows by
// more only where the lost event would have shown which of two boundaries came first.
void expect_unattributed_instead(const Attribution& full, const Attribution& less, std::uint16_t kind) {
  ASSERT_EQ(less.cycles.size(), full.cycles.size()) << kind_name(kind);
  for (std::size_t k = 0; k < full.cycles.size(); ++k) {
    const CycleResult& a = full.cycles[k];
    const CycleResult& b = less.cycles[k];
    std::int64_t touched = 0;
    for (const Step& step : a.path.steps)
      if (slot_kind(step.from) == kind || slot_kind(step.to) == kind) touched += step.end_ns - step.begin_ns;
    EXPECT_EQ(b.total_ns(), a.total_ns()) << kind_name(kind);
    EXPECT_GE(b.unattributed_ns, touched) << kind_name(kind) << ", cycle " << k + 1;
    EXPECT_EQ(std::accumulate(b.segment_ns.begin(), b.segment_ns.end(), b.unattributed_ns), b.total_ns());
  }
}

class RealTrace : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto trace =
        read_trace(std::string(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/") + GetParam() + ".trace");
    ASSERT_TRUE(trace) << trace.error().message;
    trace_ = std::move(*trace);
    clock_ = derive_clock(trace_);
    full_ = attribute(trace_, clock_);
  }

  Trace trace_;
  ClockReport clock_;
  Attribution full_;
};

TEST_P(RealTrace, IsAttributedInFull) {
  EXPECT_FALSE(trace_.truncated);
  EXPECT_EQ(trace_.host.lost() + trace_.guest.lost(), 0U);
  ASSERT_TRUE(clock_.hull);
  EXPECT_EQ(clock_.hull->violations(), 0U);
  EXPECT_GT(clock_.evidence.frames, 30U);
  EXPECT_EQ(full_.incomplete, 0U);
  ASSERT_EQ(full_.cycles.size(), 6U);
  for (const CycleResult& c : full_.cycles) {
    EXPECT_NE(c.flow, 0U);
    EXPECT_EQ(c.unattributed_ns, 0);
    EXPECT_EQ(std::accumulate(c.segment_ns.begin(), c.segment_ns.end(), c.unattributed_ns), c.total_ns());
  }
}

TEST_P(RealTrace, WithoutOneKindItsTimeIsUnattributed) {
  for (std::size_t s = 0; s < static_cast<std::size_t>(Slot::kCount); ++s) {
    const std::uint16_t kind = slot_kind(static_cast<Slot>(s));
    expect_unattributed_instead(full_, attribute(without_kind(trace_, kind), clock_), kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Lab, RealTrace, ::testing::Values("fork", "single", "poll"),
                         [](const auto& p) { return std::string(p.param); });

// Traces of `glassbox netns` at native speed: one client, eight at once, and a client outside that fetches a
// page from a server inside. There is no guest.
class NativeTrace : public ::testing::TestWithParam<std::pair<const char*, std::size_t>> {
 protected:
  void SetUp() override {
    auto trace = read_trace(std::string(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/") +
                            GetParam().first + ".trace");
    ASSERT_TRUE(trace) << trace.error().message;
    trace_ = std::move(*trace);
  }
  Trace trace_;
};

TEST_P(NativeTrace, IsAttributedWithinTwoPercent) {
  const Attribution a = attribute(trace_, derive_clock(trace_));
  ASSERT_EQ(a.cycles.size(), GetParam().second);
  EXPECT_EQ(a.incomplete, 0U);
  std::int64_t total = 0, unattributed = 0;
  std::set<std::uint64_t> flows;
  for (const CycleResult& c : a.cycles) {
    EXPECT_EQ(std::accumulate(c.segment_ns.begin(), c.segment_ns.end(), c.unattributed_ns), c.total_ns());
    total += c.total_ns();
    unattributed += c.unattributed_ns;
    flows.insert(c.flow);
  }
  EXPECT_LE(unattributed * 50, total);
  EXPECT_EQ(flows.size(), a.cycles.size());
}

TEST_P(NativeTrace, WithoutOneKindItsTimeIsUnattributed) {
  const Attribution full = attribute(trace_, derive_clock(trace_));
  for (std::uint16_t kind = 1; kind < 128; ++kind) {
    if (kind_name(kind) == "?") continue;
    expect_unattributed_instead(full, attribute(without_kind(trace_, kind), ClockReport{}), kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Netns, NativeTrace,
                         ::testing::Values(std::pair{"netns", std::size_t{6}},
                                           std::pair{"netns_eight", std::size_t{24}},
                                           std::pair{"netns_inbound", std::size_t{6}}),
                         [](const auto& p) { return std::string(p.param.first); });

TEST(RealTraces, ForkExecIsItsOwnSegmentAndAcceptWaitIsFound) {
  for (const char* name : {"fork", "poll"}) {
    const auto trace =
        read_trace(std::string(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/") + name + ".trace");
    ASSERT_TRUE(trace);
    std::array<std::int64_t, kSegments> sum{};
    for (const CycleResult& c : attribute(*trace, derive_clock(*trace)).cycles) {
      EXPECT_EQ(c.kind, std::string(name) == "fork" ? CycleKind::kFork : CycleKind::kSingle);
      for (std::size_t s = 0; s < kSegments; ++s)
        sum[s] += c.segment_ns[s];
    }
    const auto of = [&sum](Segment s) { return sum[static_cast<std::size_t>(s)]; };
    if (std::string(name) == "fork")
      EXPECT_GT(of(Segment::guest_fork_exec), 6'000'000);
    else
      EXPECT_EQ(*std::max_element(sum.begin(), sum.end()), of(Segment::server_accept_wait));
  }
}

}  // namespace
}  // namespace glassbox::trace
