// tools/demo on a tree that is not built: wrong arguments are refused before anything is installed or built,
// and right ones are not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>

#include "tools/bench/process/child.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// What tools/demo reads before its first step, and a tools/setup that says that it was reached and fails.
class UnbuiltTree : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "tools/lab");
    fs::create_directories(root_ / "tools/bench");
    for (const char* file : {"tools/demo", "tools/lab/steps.sh", "tools/bench/cli.cc", "CMakeLists.txt"})
      fs::copy_file(fs::path(SOURCE_DIR) / file, root_ / file);
    std::ofstream(root_ / "tools/setup") << "#!/bin/sh\necho setup was reached\nexit 1\n";
    fs::permissions(root_ / "tools/setup", fs::perms::owner_all);
  }
  void TearDown() override { fs::remove_all(root_); }

  struct Outcome {
    int status = -1;
    std::string out, err;
  };
  static Outcome run(std::vector<std::string> argv) {
    const auto child = Child::start({.what = "program", .argv = std::move(argv), .stop_signal = SIGINT});
    EXPECT_TRUE(child.has_value());
    while (!(*child)->wait(1000)) {
    }
    return {(*child)->reap()->code, (*child)->out(), (*child)->err()};
  }
  [[nodiscard]] Outcome demo(std::vector<std::string> more) const {
    more.insert(more.begin(), root_ / "tools/demo");
    return run(std::move(more));
  }

  const fs::path root_ = fs::path(::testing::TempDir()) / ("demo-" + std::to_string(::getpid()));
};

TEST_F(UnbuiltTree, WrongArgumentsAreRefusedAtOnceInOneLine) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--bogus"}, "no --bogus"},
      {{"--bogus=3"}, "no --bogus"},
      {{"stray"}, "no stray"},
      {{"--cycles"}, "--cycles needs a value"},
      {{"--cycles", "many"}, "--cycles many"},
      {{"--cycles=many"}, "--cycles many"},
      {{"--ipv6", "--cycles", "5", "--cycle", "6"}, "no --cycle "},
      {{"--case", "accept-poll"}, "--case"},
  };
  for (const auto& [arguments, says] : wrong) {
    const Outcome outcome = demo(arguments);
    EXPECT_EQ(outcome.status, 2) << says;
    EXPECT_EQ(outcome.out, "") << says;
    EXPECT_THAT(outcome.err, HasSubstr(says));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

TEST_F(UnbuiltTree, EveryOptionOfTheBenchmarkIsTaken) {
  const auto bench = fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "glassbox-bench";
  const std::string help = run({bench, "crr", "--help"}).out;
  const std::regex option("\n  (?:-[a-z],)?(--[a-z0-9-]+)( TEXT| UINT)?");
  int taken = 0;
  for (auto at = std::sregex_iterator(help.begin(), help.end(), option); at != std::sregex_iterator(); ++at) {
    const std::string name = (*at)[1];
    if (name == "--help" || name == "--version" || name == "--case") continue;
    std::vector<std::string> arguments{name};
    if ((*at)[2].matched) arguments.emplace_back("7");
    const Outcome outcome = demo(std::move(arguments));
    EXPECT_EQ(outcome.status, 1) << name << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "setup was reached\n") << name;
    ++taken;
  }
  EXPECT_GE(taken, 12) << help;
}

}  // namespace
}  // namespace glassbox::bench
