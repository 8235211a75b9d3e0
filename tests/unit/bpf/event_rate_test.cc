// bench_probes rate, the program itself: what it counts adds up, it comes to an end, and a signal ends it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

class EventRate : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "attaching USDT probes needs root";
    fs::create_directory(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  [[nodiscard]] pid_t start(const char* events, const char* seconds) const {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("TMPDIR", directory_.c_str(), 1);
      ::execl(BENCH_PROBES, "bench_probes", "rate", "--events", events, "--seconds", seconds, "--json",
              json_.c_str(), nullptr);
      ::_exit(127);
    }
    return child;
  }
  // Its exit status.
  static int wait(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  const fs::path directory_ =
      fs::temp_directory_path() / ("gb-event-rate-test-" + std::to_string(::getpid()));
  const fs::path json_ = directory_ / "rate.json";
};

// 20,000 a second leave the recorder six seconds of the ring, whatever else the machine does.
TEST_F(EventRate, EveryProbeThatFiredIsInTheFile) {
  ASSERT_EQ(wait(start("10000,20000", "1")), 0);
  const auto json = nlohmann::json::parse(std::ifstream(json_));
  ASSERT_EQ(json["rates"].size(), 2U);
  for (const auto& row : json["rates"]) {
    EXPECT_GT(row["probes"], 0);
    EXPECT_EQ(row["recorded"], row["probes"]) << row;
    EXPECT_EQ(row["lost"], 0) << row;
    EXPECT_EQ(row["losses"], "");
  }
  for (const char* key : {"cpu", "kernel", "date", "processors", "virtualization"})
    EXPECT_TRUE(json["machine"].contains(key)) << key;
  for (const char* key : {"glassbox", "libbpf", "compiler"})
    EXPECT_TRUE(json["versions"].contains(key)) << key;
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1) << "only the JSON is left";
}

TEST_F(EventRate, ASignalEndsItAndItsFileIsGone) {
  const pid_t child = start("1000", "600");
  while (fs::is_empty(directory_) && ::waitpid(child, nullptr, WNOHANG) == 0)
    ::usleep(1000);
  ::kill(child, SIGTERM);
  EXPECT_EQ(wait(child), 1);
  EXPECT_TRUE(fs::is_empty(directory_));
}

}  // namespace
}  // namespace glassbox::bench
