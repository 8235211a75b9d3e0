// The same client, server, kernel and image everywhere; options and what is wrong with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/measure/exercise.h"
#include "tools/bench/stacks/qemu_stack.h"
#include "vmm/machine/machine.h"

namespace glassbox::bench {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

TEST(QemuArgv, HasOurKernelImageAndCommandLine) {
  const auto argv = qemu_argv({false, "microvm", 1, 256}, 77, -1, "/c");
  EXPECT_THAT(argv, Contains(default_command_line() + " nokaslr"));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/vmlinuz")));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/initramfs.cpio")));
  EXPECT_THAT(argv, IsSupersetOf({"user,id=net", "vhost-vsock-pci,guest-cid=77", "256M"}));
  EXPECT_THAT(qemu_argv({true, "q35", 1, 256}, 77, 9, "/c"),
              IsSupersetOf({"q35", "stream,id=net,addr.type=fd,addr.str=9"}));
}

// Started anew it boots again what it has booted, also where that was the second choice.
TEST(QemuMachines, ARowKeepsTheMachineThatItHas) {
  EXPECT_THAT(qemu_machines("auto", ""), ElementsAre("microvm", "q35"));
  EXPECT_THAT(qemu_machines("auto", "q35"), ElementsAre("q35"));
  EXPECT_THAT(qemu_machines("auto", "microvm"), ElementsAre("microvm"));
  EXPECT_THAT(qemu_machines("q35", ""), ElementsAre("q35"));
}

TEST(Exercise, IsTheSameProgramForEveryWorkloadButTheShells) {
  const auto stack = make_loopback_stack();
  CompareSpec spec;
  spec.workloads = workload_names();
  spec.payload = 3;
  for (const Workload& workload : round_workloads(spec)) {
    const auto argv = exercise_command(workload, spec, *stack, "h", 7, 5);
    if (workload.load == Load::kCrrFork) {
      EXPECT_EQ(argv.back(), "AAA");
      continue;
    }
    EXPECT_THAT(argv[0], ::testing::EndsWith("gb-crr")) << workload.name;
  }
}

TEST(Exercise, ConnectRateIsTheTimeOfAllFlowsTogether) {
  const Workload rate{Load::kConnectRate, 2, "connect-rate 2"};
  const auto ns = parse_exercise(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900],[0,800]]})", 2);
  ASSERT_TRUE(ns.has_value()) << ns.error().message;
  EXPECT_THAT(*ns, ElementsAre(500));
  EXPECT_FALSE(parse_exercise(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900]]})", 2).has_value());
}

TEST(CompareSpecCheck, SaysWhatIsWrong) {
  CompareSpec spec;
  EXPECT_FALSE(check(spec).has_value());
  spec.stacks = {"loopback"};
  spec.workloads = {"rr"};
  EXPECT_TRUE(check(spec).has_value());
  spec.rounds = 0;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--rounds 0"));
  spec.rounds = 8;
  spec.cycles = 2;  // fewer than flows, which only connect-rate has
  EXPECT_TRUE(check(spec).has_value());
  spec.workloads = {"connect-rate"};
  EXPECT_THAT(check(spec).error().message, HasSubstr("--flows 4"));
  spec.cycles = 150;
  spec.flows = {1, 4, 4};
  EXPECT_THAT(check(spec).error().message, HasSubstr("--flows 4: named twice"));
  spec.flows = {1};
  spec.vcpus = 0;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--vcpus 0"));
  spec.vcpus = 1;
  spec.workloads = {"boot"};
  EXPECT_THAT(check(spec).error().message, HasSubstr("boot is of"));  // loopback has nothing that boots
  spec.stacks = {"loopback", "guest-loopback", "glassbox"};
  EXPECT_TRUE(check(spec).has_value());
  spec.rate = 5;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--rate"));
  EXPECT_THAT(labels({"a", "b", "a"}), ElementsAre("a", "b", "a#2"));
}

}  // namespace
}  // namespace glassbox::bench
