// The exit statuses of `run` and `exec` that other people script against, per end of the machine.
#include "vmm/cli/exit_status.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/cli/command.h"

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

TEST(ExitStatus, OfACommandWhoseOutputWasLostIsNoSuccess) {
  using client::CommandEnd;
  EXPECT_EQ(exit_status(CommandEnd{CommandEnd::Kind::kExited, 0, {}}), 0);
  EXPECT_EQ(exit_status(CommandEnd{CommandEnd::Kind::kExited, 0, "cannot write"}), 125);
  EXPECT_EQ(exit_status(CommandEnd{CommandEnd::Kind::kExited, 3, "cannot write"}), 3);
}

// The file is the VM owner's, who may be another user than the one who reads the message.
TEST(ExitStatus, TheOutcomeOfAVmReachesTheTerminalWithoutEscapes) {
  const test::TempDir dir;
  (void)dir.write("outcome", "120 \x1b]0;title\x07panic\n");
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const auto watch = VmWatch::open(RunningVm{"web", child, dir.path()});
  ASSERT_TRUE(watch) << watch.error().message;
  const auto end = watch->wait(-1);
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->status, 120);
  EXPECT_EQ(end->message, "?]0;title?panic");
}

TEST(ExitStatus, AResultThatCannotBeWrittenIsAFailure) {
  const int saved = ::dup(STDOUT_FILENO);
  std::fflush(stdout);
  ::dup2(UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)).get(), STDOUT_FILENO);
  const int status = print("a table\n");
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  EXPECT_EQ(status, kExitFailure);
}

}  // namespace
}  // namespace glassbox::cli
