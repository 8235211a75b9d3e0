// The quota on one thread, on the version of control groups that this machine has.
#include "tests/delays/thread_quota.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace glassbox::delays {
namespace {

// A process that burns CPU until it is killed.
class Busy {
 public:
  Busy() : pid_(::fork()) {
    while (pid_ == 0)
      asm volatile("");
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  // CPU time, by the scheduler's account.
  [[nodiscard]] std::int64_t ran_ns() const {
    std::int64_t ns = 0;
    std::ifstream("/proc/" + std::to_string(pid_) + "/schedstat") >> ns;
    return ns;
  }
  void wait_for(std::int64_t more_ns) const {
    for (const std::int64_t begin = ran_ns(); ran_ns() < begin + more_ns;)
      ::usleep(1000);
  }

 private:
  pid_t pid_;
};

TEST(ThreadQuota, HoldsTheThreadAndLetsItGo) {
  if (::geteuid() != 0) GTEST_SKIP() << "control groups need root";
  const Busy busy;
  auto quota = ThreadQuota::create(busy.pid(), busy.pid());
  if (!quota) GTEST_SKIP() << quota.error().message;
  busy.wait_for(10'000'000);  // there is no quota yet
  const Status held = (*quota)->hold();
  ASSERT_TRUE(held) << held.error().message;
  const std::int64_t begin = busy.ran_ns();
  ::usleep(300'000);
  // The quota is 1 ms per second; a CPU may use a slice of 5 ms before it is throttled.
  EXPECT_LE(busy.ran_ns() - begin, 20'000'000);
  ASSERT_TRUE((*quota)->release());
  busy.wait_for(50'000'000);
}

}  // namespace
}  // namespace glassbox::delays
