// Counts beside time: system calls, exits, CPU time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/bench/measure/counts.h"
#include "tools/bench/measure/kernel_counter.h"

namespace glassbox::bench {
namespace {

TEST(ExitReasons, ComeFromTheKernelsOwnNames) {
  const std::string format =
      R"(REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 12, "HLT" }, { 48, "EPT_VIOLATION" }) )"
      R"(: __print_symbolic(REC->exit_reason, { 0x040 + 1, "DB excp" }, { 0x078, "hlt" }), x)";
  EXPECT_EQ(exit_reasons(format, 1).at(12), "HLT");
  EXPECT_EQ(exit_reasons(format, 2).at(0x78), "hlt");
  EXPECT_EQ(exit_reasons(format, 2).at(0x41), "DB excp");
  EXPECT_FALSE(exit_reasons(format, 2).contains(12));
  EXPECT_TRUE(exit_reasons("", 2).empty());
}

TEST(KernelCounter, CountsTheCallsOfThisProcessAndNoOthers) {
  auto counter = KernelCounter::start({::getpid()});
  if (!counter) GTEST_SKIP() << counter.error().message;
  const KernelCounts before = (*counter)->read();
  for (int i = 0; i < 1000; ++i)
    ::syscall(SYS_getppid);
  const KernelCounts counts = (*counter)->read() - before;
  EXPECT_EQ(counts.by_call.at(fmt::format("syscall {}", SYS_getppid)), 1000);
  EXPECT_GE(counts.calls, 1000);

  auto other = KernelCounter::start({1});
  ASSERT_TRUE(other.has_value());
  for (int i = 0; i < 1000; ++i)
    ::syscall(SYS_getppid);
  EXPECT_FALSE((*other)->read().by_call.contains(fmt::format("syscall {}", SYS_getppid)));
}

TEST(ProcessCounts, AreDifferencesOfTotals) {
  const ProcessCounts counts =
      ProcessCounts{10, 5, 100, std::nullopt} - ProcessCounts{4, 1, 60, std::nullopt};
  EXPECT_EQ(counts.cpu_ns, 6);
  EXPECT_EQ(counts.exits, 40);
  EXPECT_FALSE(counts.injections.has_value());
  EXPECT_FALSE(read_process_counts({0x7ffffff0}).has_value());
}

TEST(ProcessCounts, OneThatDidNotRunCarriedNothing) {
  EXPECT_TRUE(check_ran("pasta", {1000, 1, {}, {}}, {1001, 1, {}, {}}));
  EXPECT_THAT(check_ran("pasta", {1000, 1, {}, {}}, {1000, 1, {}, {}}).error().message,
              ::testing::HasSubstr("pasta did not run"));
}

}  // namespace
}  // namespace glassbox::bench
