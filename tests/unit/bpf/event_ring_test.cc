// What a ring holds reaches the consumer as events, and nothing else does.
#include "bpf/event_ring.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "gb_event_ring.skel.h"

namespace glassbox::trace {
namespace {

TEST(EventRing, ShortRecordIsTakenAndNotHandedOut) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  const std::unique_ptr<gb_event_ring, void (*)(gb_event_ring*)> skeleton(gb_event_ring__open_and_load(),
                                                                          gb_event_ring__destroy);
  ASSERT_TRUE(skeleton);
  EventRing ring;
  ASSERT_TRUE(ring.open(bpf_map__fd(skeleton->maps.events), bpf_map__max_entries(skeleton->maps.events)));
  std::vector<__u64> seen;
  const auto note = [&seen](const gb_event& event) { seen.push_back(event.seq); };
  for (int round = 0; round < 2; ++round) {
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    ASSERT_EQ(bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.put_three), &run), 0);
    seen.clear();
    const auto taken = ring.consume(note);
    ASSERT_TRUE(taken) << taken.error().message;
    EXPECT_EQ(*taken, 3U);
    EXPECT_THAT(seen, testing::ElementsAre(1, 3));
  }
}

}  // namespace
}  // namespace glassbox::trace
