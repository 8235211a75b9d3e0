#include "tools/lab/health.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace glassbox::lab {
namespace {

std::vector<int> cpus_of_this_process() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(Health, EveryCpuIsVisitedAndNoneIsLeft) {
  const auto before = cpus_of_this_process();
  EXPECT_EQ(visit_every_cpu(), before);
  EXPECT_EQ(cpus_of_this_process(), before);
}

TEST(Health, AFileThatIsNotThereIsAnAnswer) {
  ask_the_host("/nonexistent/glassbox");
}

}  // namespace
}  // namespace glassbox::lab
