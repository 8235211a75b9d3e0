// The list of stacks: names, and which workloads each of them carries.
#include "tools/bench/stacks/stack_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

TEST(StackList, TheFloorsAndThoseWithoutPollingTakePartOnlyIfNamed) {
  for (const char* name : {"relay", "bare", "bare-spin", "glassbox-off", "glassbox-netns-off"}) {
    EXPECT_THAT(stack_names(false), Contains(name));
    EXPECT_THAT(stack_names(true), Not(Contains(name)));
  }
  EXPECT_EQ(find_stack("nothing"), nullptr);
}

TEST(StackList, AStackTakesPartInWhatItCarries) {
  EXPECT_TRUE(carries(*find_stack("bare"), WorkloadKind::kCrr));
  EXPECT_FALSE(carries(*find_stack("bare"), WorkloadKind::kStreamOut));
  EXPECT_TRUE(carries(*find_stack("relay"), WorkloadKind::kStreamIn));
  EXPECT_TRUE(carries(*find_stack("glassbox-netns"), WorkloadKind::kIdleFlows));
  EXPECT_TRUE(carries(*find_stack("glassbox-netns-off"), WorkloadKind::kHalfClosed));
  for (const char* name : {"glassbox", "veth", "loopback", "relay", "bare"})
    EXPECT_FALSE(carries(*find_stack(name), WorkloadKind::kIdleFlows)) << name;
}

TEST(StackList, ANameThatComesTwiceGetsANumber) {
  EXPECT_THAT(labels({"a", "b", "a"}), ElementsAre("a", "b", "a#2"));
}

}  // namespace
}  // namespace glassbox::bench
