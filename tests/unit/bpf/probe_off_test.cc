// Off means off: a probe that nobody listens to costs the frame path its nop, and no clock is read for it.
//
// Counted, not timed (callgrind). The sites that a segment passes are counted in the same run, at the
// addresses that the notes name. With GCC there is nothing beyond the nops: what the probes tell lies in
// memory at the NAT's own address, written there with the probes compiled out as well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tools/bench/probes/frame_cost.h"
#include "tools/bench/probes/instruction_count.h"

namespace glassbox::bench {
namespace {

// Instructions beyond the nops, of a segment's probes together.
#ifdef __clang__
constexpr double kMoves = 4;  // every argument in a register: bpf/probes.h
#else
constexpr double kMoves = 0;
#endif
// A segment that wraps something, in a thousand.
constexpr double kRounding = 0.05;

TEST(ProbeOff, CostsItsNopsAndNoClockRead) {
  if (std::system("valgrind --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "valgrind is not installed";
  if (GLASSBOX_SANITIZED) GTEST_SKIP() << "valgrind cannot run a program with sanitizers";
  const auto costs = measure_frame_costs(PROGRAMS);
  ASSERT_TRUE(costs) << costs.error().message;
  std::printf("%s", frame_cost_table(*costs).c_str());
  EXPECT_GE(costs->probes.probes, 3) << "begin, end and host_send";
  EXPECT_EQ(costs->none.probes, 0);
  EXPECT_LE(costs->moves(), kMoves + kRounding);
  // Nothing is called that was not called before: no clock, no formatting, no lock.
  EXPECT_THAT(costs->probes.functions, testing::IsSubsetOf(costs->none.functions));
  // And the count sees what a log line costs at the same sites, off and on.
  EXPECT_GT(costs->log_off.instructions, costs->probes.instructions);
  EXPECT_GT(costs->log_on.instructions, 2 * costs->log_off.instructions);
}

TEST(InstructionCount, CallsAreCountedOnceAtTheCallee) {
  std::istringstream file(
      "events: Ir\nfn=f\n0x10 3 5\ncfn=g\ncalls=2 0x20\n0x14 4 70\n0x18 5 1\nfn=g\n0x20 9 70\n");
  const InstructionCount count = parse_callgrind(file);
  EXPECT_EQ(count.total, 76u);
  EXPECT_EQ(count.at.at(0x10), 5u);
  EXPECT_EQ(count.at.count(0x14), 0u);
  EXPECT_EQ(count.functions.at("f"), 6u);
  EXPECT_EQ(count.functions.at("g"), 70u);
}

}  // namespace
}  // namespace glassbox::bench
