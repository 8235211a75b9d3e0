// Records what bench_trace_test looks at: the launcher's main runs, each in a guest of its own.
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

  static Outcome crr(std::vector<std::string> more) {
    std::vector<std::string> argv{program_path("glassbox-bench"), "crr"};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(std::move(argv));
  }
};

TEST_F(Record, ForkAgainstTheBlockingServer) {
  const Outcome outcome = crr({"--workload", "fork", "--cycles", "120", "--trace", "--json",
                               file("fork.json"), "--keep-trace", file("fork.trace")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("unattributed"), std::string::npos) << outcome.out;
  std::printf("%s", outcome.out.c_str());
}

// The sleep is six cycles of the same workload without one, measured here and now.
TEST_F(Record, SingleAgainstThePollingServer) {
  const Outcome untreated = crr({"--workload", "single", "--cycles", "100", "--json", file("single.json")});
  ASSERT_EQ(untreated.status, 0) << untreated.err;
  const auto single = read_json(file("single.json"));
  ASSERT_TRUE(single["client"]["p50_us"].is_number()) << single.dump();
  const double p50_ms = single["client"]["p50_us"].get<double>() / 1e3;
  const int sleep_ms = std::max(5, static_cast<int>(std::ceil(6 * p50_ms)));
  const Outcome polled =
      crr({"--workload", "single", "--cycles", "60", "--server", fmt::format("poll:{}", sleep_ms), "--trace",
           "--json", file("poll.json"), "--keep-trace", file("poll.trace")});
  ASSERT_EQ(polled.status, 0) << polled.err;
  std::printf("untreated p50 %.2f ms, sleep %d ms\n%s", p50_ms, sleep_ms, polled.out.c_str());
}

}  // namespace
}  // namespace glassbox::bench::testing
