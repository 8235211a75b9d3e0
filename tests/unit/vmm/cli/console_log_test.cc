#include "vmm/cli/console_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>

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

TEST(ConsoleLog, AfterACrashItsFirstLineIsShownHoweverLongTheReport) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  write(log, "booting\nmore\n");
  EXPECT_EQ(log.crash_or_tail(1), "  more\n");
  write(log, "[    1.0] BUG: unable to handle page fault for address: 0\n");
  for (int i = 0; i < 300; ++i)
    write(log, "[    1.0] line " + std::to_string(i) + "\n");
  const std::string shown = log.crash_or_tail(3);
  EXPECT_TRUE(shown.starts_with("  [    1.0] BUG: unable")) << shown.substr(0, 100);
  EXPECT_EQ(static_cast<std::size_t>(std::count(shown.begin(), shown.end(), '\n')), ConsoleLog::kCrashLines);
}

TEST(ConsoleLog, ACrashInTheLastLinesShowsWhatCameBeforeIt) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  write(log, "one\ntwo\nKernel panic - not syncing: no init\n");
  EXPECT_EQ(log.crash_or_tail(2), "  two\n  Kernel panic - not syncing: no init\n");
}

TEST(ConsoleLog, TheUsersFileHasAllOfItUpToItsLimit) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  const std::filesystem::path file = dir.path() / "users";
  log.keep_in(UniqueFd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
  const std::string block(1 << 20, 'x');
  for (std::size_t i = 0; i < ConsoleLog::kUserFileBytes / block.size(); ++i)
    write(log, block);
  EXPECT_EQ(std::filesystem::file_size(file), ConsoleLog::kUserFileBytes);
  write(log, "too much");
  write(log, "too much");
  EXPECT_LT(std::filesystem::file_size(file), ConsoleLog::kUserFileBytes + 100);
  std::ifstream in(file);
  in.seekg(-30, std::ios::end);
  const std::string end{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(end.find("it is full"), std::string::npos) << end;
}

TEST(ConsoleLog, AUsersFileThatIsFullDoesNotStopTheLog) {
  const test::TempDir dir;
  ConsoleLog log(dir.path() / "log", false);
  log.keep_in(UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)));
  write(log, "line\n");
  EXPECT_EQ(log.tail(1), "  line\n");
}

TEST(ConsoleLog, WorksWithoutItsFile) {
  ConsoleLog log("/no/such/directory/log", false);
  write(log, "line\n");
  EXPECT_EQ(log.tail(1), "  line\n");
}

}  // namespace
}  // namespace glassbox::cli
