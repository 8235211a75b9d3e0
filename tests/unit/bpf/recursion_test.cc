// What the kernel skips because a program runs already is counted, and under the hook's name.
#include "bpf/recursion.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gb_recursion.skel.h"

namespace glassbox::bpf {
namespace {

TEST(RecursionMisses, AreCountedByHook) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  const std::unique_ptr<gb_recursion, void (*)(gb_recursion*)> skeleton(gb_recursion__open_and_load(),
                                                                        gb_recursion__destroy);
  ASSERT_TRUE(skeleton);
  ASSERT_EQ(gb_recursion__attach(skeleton.get()), 0);
  EXPECT_TRUE(recursion_misses(skeleton->obj).empty());
  skeleton->bss->target_tid = static_cast<__u64>(gettid());
  for (int k = 0; k < 5; ++k)
    syscall(SYS_getppid);
  skeleton->bss->target_tid = 0;
  const auto misses = recursion_misses(skeleton->obj);
  ASSERT_EQ(misses.size(), 1u);
  EXPECT_EQ(misses.begin()->first, "tp_btf/bpf_trace_printk");
  EXPECT_GE(misses.begin()->second, 5u);
}

}  // namespace
}  // namespace glassbox::bpf
