#include "vmm/cli/console_log.h"

#include <gtest/gtest.h>

#include "tests/unit/vmm/base/temp_dir.h"

namespace glassbox::cli {
namespace {

void write(ConsoleLog& log, const std::string& text) {
  log.write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

TEST(ConsoleLog, TailIsTheLastLines) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  EXPECT_EQ(log.tail(3), "");
  write(log, "one\r\ntwo\r\n\r\nthr");
  write(log, "ee");
  EXPECT_EQ(log.tail(3), "  one\n  two\n  three\n");
  EXPECT_EQ(log.tail(1), "  three\n");
}

TEST(ConsoleLog, WhatIsShownHasNoControlCharacters) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  write(log,
        "\x1b]0;title\x07\x9b\xff"
        "end\n");
  EXPECT_EQ(log.tail(9), "  ]0;titleend\n");
}

TEST(ConsoleLog, FileIsBoundedAndEndsWithTheLatest) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  for (int i = 0; i < 5000; ++i)
    write(log, std::string(1000, 'x') + "\n");
  write(log, "latest\n");
  EXPECT_LE(std::filesystem::file_size(dir.path() / "log"), ConsoleLog::kFileBytes);
  std::ifstream in(dir.path() / "log");
  const std::string content{std::istreambuf_iterator<char>(in), {}};
  EXPECT_TRUE(content.ends_with("latest\n"));
}

TEST(ConsoleLog, WorksWithoutItsFile) {
  ConsoleLog log("/no/such/directory/log", false);
  write(log, "line\n");
  EXPECT_EQ(log.tail(1), "  line\n");
}

}  // namespace
}  // namespace glassbox::cli
