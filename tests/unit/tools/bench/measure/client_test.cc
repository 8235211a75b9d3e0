// The client's command line, and what is read from its output.
#include "tools/bench/measure/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Workload kCrr{WorkloadKind::kCrr, 1, "crr"};

std::string error_of(std::string_view output, std::uint32_t cycles) {
  const auto times = parse_client(kCrr, {}, output, cycles);
  return times ? "" : times.error().message;
}

TEST(ParseSingle, TakesTheDurations) {
  const auto times = parse_client(
      kCrr, {}, R"({"cycles":2,"failed":0,"payload_bytes":1,"cycle_ns":[[5,71000],[80000,68000]]})", 2);
  ASSERT_TRUE(times.has_value()) << times.error().message;
  EXPECT_THAT(*times, ElementsAre(71'000, 68'000));
}

TEST(ParseSingle, MissingOrBrokenCyclesAreNoticed) {
  EXPECT_THAT(error_of(R"({"cycle_ns":[[5,71000]]})", 2), HasSubstr("1 of 2"));
  EXPECT_THAT(error_of(R"({"cycle_ns":[[5,71000],[6]]})", 2), HasSubstr("cycle 2"));
  EXPECT_THAT(error_of(R"({"cycle_ns":[[5,-1]]})", 1), HasSubstr("cycle 1"));
  EXPECT_THAT(error_of(R"({"cycle_ns":[[5,71)", 1), HasSubstr("cannot read"));
  EXPECT_THAT(error_of("", 1), HasSubstr("cannot read"));
}

TEST(Client, GetsServerAndCount) {
  EXPECT_THAT(client_command(kCrr, {}, {{"sh"}, "gb-crr"}, {"10.0.2.2", 7}, 200),
              ElementsAre("gb-crr", "10.0.2.2", "7", "--cycles", "200", "--payload", "1"));
  const Workload fork{WorkloadKind::kCrrFork, 1, "crr-fork"};
  const auto argv = client_command(fork, {}, {{"busybox", "sh"}, "gb-crr"}, {"10.0.2.2", 7}, 200);
  ASSERT_EQ(argv.size(), 9u);
  EXPECT_THAT(std::vector<std::string>(argv.begin(), argv.begin() + 3), ElementsAre("busybox", "sh", "-c"));
}

TEST(Client, IsTheSameProgramForEveryWorkloadButTheShells) {
  Spec spec;
  spec.workloads = workload_names();
  spec.payload = 3;
  for (const Workload& workload : round_workloads(spec)) {
    const auto argv = client_command(workload, spec, {{"sh"}, "gb-crr"}, {"h", 7}, 5);
    if (workload.kind == WorkloadKind::kCrrFork) {
      EXPECT_EQ(argv.back(), "AAA");
      continue;
    }
    EXPECT_THAT(argv[0], ::testing::EndsWith("gb-crr")) << workload.name;
  }
}

TEST(Client, ConnectRateIsTheTimeOfAllFlowsTogether) {
  const Workload rate{WorkloadKind::kConnectRate, 2, "connect-rate 2"};
  const auto ns = parse_client(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900],[0,800]]})", 2);
  ASSERT_TRUE(ns.has_value()) << ns.error().message;
  EXPECT_THAT(*ns, ElementsAre(500));
  EXPECT_FALSE(parse_client(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900]]})", 2).has_value());
}

}  // namespace
}  // namespace glassbox::bench
