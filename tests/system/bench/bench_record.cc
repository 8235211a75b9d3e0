// Records the traces that bench_trace_test examines: the launcher's main runs, each in a new guest.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/system/bench/system_test.h"

namespace glassbox::bench::testing {
namespace {

class Record : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::filesystem::remove_all(traces_dir());
    std::filesystem::create_directories(traces_dir());
  }

  static std::string file(const std::string& name) { return traces_dir() / name; }

  static ProgramResult crr(std::vector<std::string> more) {
    std::vector<std::string> argv{program_path("glassbox-bench"), "crr"};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(std::move(argv));
  }
};

TEST_F(Record, ForkAgainstTheBlockingServer) {
  const ProgramResult outcome = crr({"--workload", "fork", "--cycles", "120", "--trace", "--json",
                                     file("fork.json"), "--keep-trace", file("fork.trace")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("unattributed"), std::string::npos) << outcome.out;
  std::printf("%s", outcome.out.c_str());
}

// The server sleeps for six typical cycles of the same workload, measured just before on this machine.
TEST_F(Record, SingleAgainstThePollingServer) {
  const ProgramResult without_sleep =
      crr({"--workload", "single", "--cycles", "100", "--json", file("single.json")});
  ASSERT_EQ(without_sleep.status, 0) << without_sleep.err;
  const auto single = read_json(file("single.json"));
  ASSERT_TRUE(single["client"]["p50_us"].is_number()) << single.dump();
  const double p50_ms = single["client"]["p50_us"].get<double>() / 1e3;
  const int sleep_ms = std::max(5, static_cast<int>(std::ceil(6 * p50_ms)));
  const ProgramResult polled =
      crr({"--workload", "single", "--cycles", "60", "--server", fmt::format("poll:{}", sleep_ms), "--trace",
           "--json", file("poll.json"), "--keep-trace", file("poll.trace")});
  ASSERT_EQ(polled.status, 0) << polled.err;
  std::printf("p50 without the sleep %.2f ms, sleep %d ms\n%s", p50_ms, sleep_ms, polled.out.c_str());
}

}  // namespace
}  // namespace glassbox::bench::testing
