// What a ring holds reaches the consumer as events, and nothing else does.
#include "bpf/event_ring.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "gb_event_ring.skel.h"

namespace glassbox::bpf {
namespace {

class EventRingTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    skeleton.reset(gb_event_ring__open_and_load());
    ASSERT_TRUE(skeleton);
    ASSERT_TRUE(ring.open(bpf_map__fd(skeleton->maps.events), bpf_map__max_entries(skeleton->maps.events)));
  }
  void put_three() {
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    ASSERT_EQ(bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.put_three), &run), 0);
  }
  std::unique_ptr<gb_event_ring, void (*)(gb_event_ring*)> skeleton{nullptr, gb_event_ring__destroy};
  EventRing ring;
};

TEST_F(EventRingTest, ShortRecordIsTakenAndNotHandedOut) {
  for (int round = 0; round < 2; ++round) {
    put_three();
    std::vector<__u64> seen;
    const auto taken = ring.consume([&](const gb_event& event) { seen.push_back(event.seq); });
    ASSERT_TRUE(taken) << taken.error().message;
    EXPECT_EQ(*taken, 3U);
    EXPECT_THAT(seen, testing::ElementsAre(1, 3));
  }
}

// Whoever takes events must get round to other things.
TEST_F(EventRingTest, EndsThoughRecordsComeFasterThanTheyAreTaken) {
  put_three();
  int more = 1000;
  const auto taken = ring.consume([&](const gb_event&) {
    if (more-- > 0) put_three();
  });
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_LE(*taken, 4096 / sizeof(gb_event)) << "no more than the ring holds";
  EXPECT_GT(more, 0);
  const auto rest = ring.consume([](const gb_event&) {});
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_GT(*rest, 0U) << "and the others are there still";
}

}  // namespace
}  // namespace glassbox::bpf
