// A reply in several parts: the time between the first and the last is a segment of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/path/attribute.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using testing::make_trace;
using testing::without_kind;

constexpr std::int64_t kMs = 1'000'000;

CycleOptions in_two_parts() {
  CycleOptions o;
  o.fork = false;
  o.rest_ns = 30 * kMs;
  return o;
}

std::int64_t in(const CycleResult& c, Segment s) {
  return c.segment_ns.at(static_cast<std::size_t>(s));
}

TEST(ReplyRest, HoldsTheTimeBetweenTheParts) {
  const Trace trace = make_trace(20, in_two_parts());
  for (const CycleResult& c : attribute(trace, derive_clock(trace)).cycles) {
    EXPECT_GE(in(c, Segment::reply_rest), 30 * kMs);
    EXPECT_LT(in(c, Segment::guest_reply_read), kMs);
    EXPECT_EQ(c.unattributed_ns, 0);
  }
}

TEST(ReplyRest, IsAbsentForAReplyInOnePart) {
  CycleOptions o;
  o.fork = false;
  const Trace trace = make_trace(20, o);
  const Attribution a = attribute(trace, derive_clock(trace));
  EXPECT_FALSE(a.applies.at(static_cast<std::size_t>(Segment::reply_rest)));
}

TEST(ReplyRest, IsSeenFromTheHostAlone) {
  Trace trace = make_trace(20, in_two_parts());
  trace.guest = {};
  for (const CycleResult& c : attribute(trace, derive_clock(trace)).cycles)
    EXPECT_GE(in(c, Segment::reply_rest), 30 * kMs);
}

// If the receipts of the parts are lost, their time must not count as the client's.
TEST(ReplyRest, ALostBoundaryDoesNotMakeItTheClients) {
  const Trace whole = make_trace(20, in_two_parts());
  const Trace trace = without_kind(whole, GB_KIND_host_recv);
  for (const CycleResult& c : attribute(trace, derive_clock(trace)).cycles)
    EXPECT_LT(in(c, Segment::guest_reply_read), kMs);
}

}  // namespace
}  // namespace glassbox::trace
