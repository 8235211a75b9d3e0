// bench_net itself, on our own stacks: who carried the packets, and how many system calls a cycle took.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/bench/process/child.h"
#include "tools/bench/process/paths.h"

namespace glassbox::bench {
namespace {

// The bound of behind-tap cycles: reads and writes of the tap included, --poll off.
constexpr double kMaxCallsPerCrr = 24;

// The stacks run as an ordinary user, who must get at the programs: not in a checkout below a home that is
// closed.
bool open_to_everyone(std::filesystem::path path) {
  for (; path.has_relative_path(); path = path.parent_path()) {
    if ((std::filesystem::status(path).permissions() & std::filesystem::perms::others_exec) ==
        std::filesystem::perms::none)
      return false;
  }
  return true;
}

// The JSON of a small run, discarded where there is none; explain: what to explain.
nlohmann::json small_run(const std::string& explain) {
  const auto directory = TempDir::create();
  if (!directory) return nlohmann::json::value_t::discarded;
  const std::string path = directory->file("result.json");
  auto child = Child::start({.what = "bench_net",
                             .argv = {BENCH_NET, "--stack", "netns-off,bare", "--rows", "latency", "--rounds",
                                      "1", "--cycles", "100", "--explain", explain, "--json", path}});
  if (!child || !(*child)->wait(100'000)) return nlohmann::json::value_t::discarded;
  std::ifstream file(path);
  auto result = nlohmann::json::parse(file, nullptr, false);
  EXPECT_FALSE(result.is_discarded()) << (*child)->err();
  return result;
}

TEST(BenchNet, SystemCallsOfACycleAreBounded) {
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no permission on /dev/net/tun";
  if (::geteuid() != 0) GTEST_SKIP() << "counting system calls needs root";
  if (!open_to_everyone(BENCH_NET)) GTEST_SKIP() << BENCH_NET << " is closed to an ordinary user";
  const auto result = small_run("none");
  ASSERT_FALSE(result.is_discarded());
  int seen = 0;
  for (const auto& stack : result["stacks"]) {
    SCOPED_TRACE(stack.dump());
    ASSERT_TRUE(stack["refused"].is_null());
    EXPECT_EQ(stack["crr"]["n"], 100);
    EXPECT_EQ(stack["program"], stack["stack"] == "bare" ? "bench_net" : "glassbox");
    if (stack["system_calls_per_crr"].is_null()) GTEST_SKIP() << stack["system_calls_missing"];
    EXPECT_GT(stack["system_calls_per_crr"], 5);
    EXPECT_LE(stack["system_calls_per_crr"], kMaxCallsPerCrr);
    ++seen;
  }
  EXPECT_EQ(seen, 2);
}

// Explains what was met as well, so that it does not depend on how fast the machine is.
TEST(BenchNet, ACycleIsExplainedByItsTraceAndCounts) {
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no permission on /dev/net/tun";
  if (::geteuid() != 0) GTEST_SKIP() << "tracing needs root";
  const auto result = small_run("all");
  ASSERT_FALSE(result.is_discarded());
  if (!result["stacks"][0]["refused"].is_null()) GTEST_SKIP() << result["stacks"][0]["refused"];
  ASSERT_EQ(result["explanations"].size(), 1U) << result.dump(1);
  const auto& found = result["explanations"][0]["found"];
  ASSERT_EQ(found["who"].size(), 3U) << found.dump(1);
  EXPECT_GE(found["frames_to_nat"], 3);
  if (found.contains("trace_missing")) GTEST_SKIP() << found["trace_missing"];
  EXPECT_NEAR(found["calls"]["close"].get<double>(), 1, 0.05);
  EXPECT_GE(found["trace"]["segments"].size(), 5U);
}

}  // namespace
}  // namespace glassbox::bench
