// The guest's tracer attached to this kernel, and what it said.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "guest/trace/guest_tracer.h"

namespace glassbox::bpf {

// With fentry, and as on a kernel that has none.
class GuestTracerTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "tracing needs root";
    if (access("/sys/bus/event_source/devices/kprobe", F_OK) != 0)
      GTEST_SKIP() << "this kernel has no kprobes";
    auto tracer = GuestTracer::open(4 << 20, GetParam());
    ASSERT_TRUE(tracer) << tracer.error().message;
    tracer_ = std::move(*tracer);
  }

  void collect() {
    ASSERT_TRUE(tracer_->consume([this](const gb_event& event) { events_.push_back(event); }));
    std::sort(events_.begin(), events_.end(),
              [](const gb_event& a, const gb_event& b) { return a.ts_ns < b.ts_ns; });
    const protocol::TraceDrops drops = tracer_->drops().totals;
    EXPECT_EQ(drops.ring_full, 0u);
    EXPECT_EQ(drops.recursion_misses, 0u);
    EXPECT_EQ(drops.kprobe_misses, 0u);
  }

  // Those of one kind and process (0: any), in order of time.
  std::vector<gb_event> of(gb_kind kind, pid_t tgid = 0) const {
    std::vector<gb_event> out;
    for (const gb_event& event : events_) {
      if (event.kind == kind && (tgid == 0 || event.tgid == static_cast<std::uint32_t>(tgid)))
        out.push_back(event);
    }
    return out;
  }
  gb_event only(gb_kind kind, pid_t tgid) const {
    const auto found = of(kind, tgid);
    EXPECT_EQ(found.size(), 1u) << "kind " << kind;
    return found.empty() ? gb_event{} : found.front();
  }

  std::unique_ptr<GuestTracer> tracer_;
  std::vector<gb_event> events_;
};

// Runs `body` in a child and returns its pid after it ended well.
template <typename Body>
pid_t in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return child;
}

}  // namespace glassbox::bpf
