#include "tools/bench/stacks/carrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace glassbox::bench {
namespace {

using testing::HasSubstr;

TEST(Carrier, AProcessWithoutTheDeviceIsNotOne) {
  const auto found = find_carrier(::getpid(), "eth0", "glassbox");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("eth0"));
}

}  // namespace
}  // namespace glassbox::bench
