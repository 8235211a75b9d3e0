// The exit statuses of `run` and `exec` that other people script against, per end of the machine.
#include "vmm/cli/exit_status.h"

#include <gtest/gtest.h>

namespace glassbox::cli {
namespace {

using Kind = MachineEnd::Kind;

TEST(ExitStatus, IsThatOfTheDesignForEveryEndOfTheMachine) {
  EXPECT_EQ(exit_status({Kind::kStopped, {}}), 0);
  EXPECT_EQ(exit_status({Kind::kPanic, {}}), 120);
  EXPECT_EQ(exit_status({Kind::kPoweredOff, {}}), 121);
  EXPECT_EQ(exit_status({Kind::kReset, {}}), 121);
  EXPECT_EQ(exit_status({Kind::kError, {}}), 125);
}

}  // namespace
}  // namespace glassbox::cli
