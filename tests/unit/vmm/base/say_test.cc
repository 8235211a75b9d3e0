#include "vmm/base/say.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

namespace glassbox {
namespace {

TEST(Say, WritesTheWholeText) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  std::FILE* to = ::fdopen(ends[1], "w");
  EXPECT_TRUE(say(to, "hello"));
  std::array<char, 16> bytes{};
  EXPECT_EQ(::read(ends[0], bytes.data(), bytes.size()), 5);
  EXPECT_STREQ(bytes.data(), "hello");
  std::fclose(to);
  ::close(ends[0]);
}

TEST(Say, AFullDiskIsFalseAndNoException) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  EXPECT_FALSE(say(full, "hello"));
  EXPECT_EQ(errno, ENOSPC);
  std::fclose(full);
}

// SIGPIPE has its default action here, as in a program under a shell: it would end the test.
TEST(Say, APipeWithoutAReaderIsFalseAndNoSignal) {
  ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  ::close(ends[0]);
  std::FILE* to = ::fdopen(ends[1], "w");
  EXPECT_FALSE(say(to, "hello"));
  sigset_t pending;
  ASSERT_EQ(::sigpending(&pending), 0);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  std::setvbuf(to, nullptr, _IONBF, 0);
  std::fclose(to);
}

}  // namespace
}  // namespace glassbox
