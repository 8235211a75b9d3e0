// Ctrl-C in the middle of a run ends every process that the launcher started and removes its files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "tests/system/bench/system_test.h"
#include "vmm/base/lab.h"
#include "vmm/kvm/usability.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// "PID COMMAND" of each child of `pid`.
std::vector<std::string> children_of(pid_t pid) {
  std::vector<std::string> found;
  std::istringstream lines(run({"ps", "-o", "pid=,args=", "--ppid", std::to_string(pid)}).out);
  for (std::string line; std::getline(lines, line);)
    found.push_back(line);
  return found;
}

bool lives(const std::string& ps_line) {
  return ::kill(static_cast<pid_t>(std::stol(ps_line)), 0) == 0;
}

TEST(Stop, NothingIsLeftAfterCtrlC) {
  if (!in_lab() && !kvm::check_kvm().usable)
    GTEST_SKIP()
        << "no usable KVM, and processes in the lab cannot be seen from here: run it by tools/in-lab";
  auto child = Child::start({.what = "glassbox-bench",
                             .argv = {program_path("glassbox-bench"), "crr", "--workload", "single",
                                      "--server", "poll:1000", "--cycles", "1000", "--warm-up", "0"},
                             .stop_signal = SIGINT});
  ASSERT_TRUE(child.has_value());
  while ((*child)->err().find("glassbox-bench: cycle") == std::string::npos) {
    ASSERT_FALSE((*child)->wait(100)) << (*child)->err();
  }
  const std::string guest = fmt::format("bench-{}", (*child)->pid());
  EXPECT_THAT(run({program_path("glassbox"), "ls"}).out, HasSubstr(guest));
  const auto started = children_of((*child)->pid());
  EXPECT_THAT(started, ::testing::SizeIs(::testing::Ge(2U)));  // the server and `glassbox exec`
  EXPECT_EQ((*child)->stop(60'000).code, 128 + SIGINT) << (*child)->err();
  EXPECT_THAT(run({program_path("glassbox"), "ls"}).out, Not(HasSubstr(guest)));
  for (const std::string& line : started)
    EXPECT_FALSE(lives(line)) << line;
}

}  // namespace
}  // namespace glassbox::bench::testing
