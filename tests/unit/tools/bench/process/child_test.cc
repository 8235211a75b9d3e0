#include "tools/bench/process/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "tools/bench/process/watch.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;

constexpr int kLimitMs = 60'000;  // far beyond what any of these takes

std::unique_ptr<Child> shell(const std::string& script, int stop_signal = SIGTERM) {
  auto child = Child::start(
      {.what = "the test's shell", .argv = {"/bin/sh", "-c", script}, .stop_signal = stop_signal});
  EXPECT_TRUE(child.has_value());
  return std::move(*child);
}

TEST(Child, GivesOutputAndStatus) {
  const auto child = shell("echo out; echo err >&2; exit 7");
  ASSERT_TRUE(child->wait(kLimitMs));
  EXPECT_EQ(child->reap()->code, 7);
  EXPECT_EQ(child->out(), "out\n");
  EXPECT_EQ(child->err(), "err\n");
  EXPECT_EQ(child->how_it_ended(), "the test's shell exited 7: err");
}

TEST(Child, ASignalIsSaid) {
  const auto child = shell("kill -9 $$");
  ASSERT_TRUE(child->wait(kLimitMs));
  EXPECT_EQ(child->reap()->code, 128 + SIGKILL);
  EXPECT_EQ(child->how_it_ended(), "the test's shell was ended by signal 9");
}

TEST(Child, AMissingProgramIsNamed) {
  auto child = Child::start({.what = "it", .argv = {"/nonexistent/program"}});
  ASSERT_TRUE(child.has_value());
  ASSERT_TRUE((*child)->wait(kLimitMs));
  EXPECT_EQ((*child)->how_it_ended(), "it exited 127: /nonexistent/program: No such file or directory");
}

TEST(Child, EndsWithItsObject) {
  pid_t pid = 0;
  {
    const auto child = shell("echo up; exec sleep 1000");
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Child, IsKilledWhenItWillNotStop) {
  const auto child = shell("trap '' TERM; echo up; while :; do read x < /dev/zero; done");
  while (child->out().empty())
    child->wait(10);
  EXPECT_EQ(child->stop(50).code, 128 + SIGKILL);
}

TEST(Child, MuchOutputDoesNotBlockIt) {
  const auto child = shell("head -c 3000000 /dev/zero; exit 3");
  ASSERT_TRUE(child->wait(kLimitMs));
  EXPECT_EQ(child->reap()->code, 3);
  EXPECT_EQ(child->out().size(), 3'000'000u);
}

TEST(LastLine, SkipsEmptyOnes) {
  EXPECT_EQ(last_line("a\nb\n\n"), "b");
  EXPECT_EQ(last_line("a"), "a");
  EXPECT_EQ(last_line("\n \n"), "");
  EXPECT_EQ(last_line(""), "");
}

// A Watch blocks signals for the whole process, hence one per test process is all there is.
class WatchTest : public ::testing::Test {
 protected:
  Watch watch_ = std::move(*Watch::create());
};

TEST_F(WatchTest, ReturnsTheStatus) {
  const auto child = shell("exit 5");
  const auto status = watch_.wait(*child, 60);
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(status->code, 5);
}

TEST_F(WatchTest, NoticesThatABackgroundProcessDied) {
  const auto dying = shell("echo bad luck >&2; exit 1");
  const auto child = shell("exec sleep 1000");
  watch_.add_background(*dying);
  const auto status = watch_.wait(*child, 60);
  watch_.remove_background(*dying);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message, "the test's shell exited 1: bad luck");
}

TEST_F(WatchTest, ASignalEndsTheWait) {
  const auto child = shell("exec sleep 1000");
  ::kill(::getpid(), SIGINT);  // blocked, so it waits for the watch
  const auto status = watch_.wait(*child, 60);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, EINTR);
  EXPECT_EQ(watch_.signal(), SIGINT);
}

TEST_F(WatchTest, GivesUpOnARunThatStands) {
  const auto child = shell("exec sleep 1000");
  const auto status = watch_.wait(*child, 0);
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().message, HasSubstr("did not move"));
}

TEST_F(WatchTest, ReadableMeansAlsoTheOthersEnd) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
  const UniqueFd read(fds[0]);
  UniqueFd write(fds[1]);
  auto child =
      Child::start({.what = "it",
                    .argv = {"/bin/sh", "-c", fmt::format("exec {}>&-; exec sleep 1000", write.get())},
                    .inherit = {write.get()}});
  ASSERT_TRUE(child.has_value());
  write.reset();
  EXPECT_TRUE(watch_.wait_readable(read.get(), **child, 60).has_value());
}

}  // namespace
}  // namespace glassbox::bench
