#include "vmm/base/check.h"

#include <gtest/gtest.h>

namespace glassbox {
namespace {

int evaluations = 0;
bool holds(bool value) {
  ++evaluations;
  return value;
}

// Also where NDEBUG takes assert() out, as the release build does.
TEST(Check, EndsTheProgramAndNamesTheCondition) {
  GB_CHECK(holds(true));
  EXPECT_EQ(evaluations, 1);
  EXPECT_DEATH(GB_CHECK(holds(false)), "check_test.cc:[0-9]+: .*failed: holds\\(false\\)");
}

}  // namespace
}  // namespace glassbox
