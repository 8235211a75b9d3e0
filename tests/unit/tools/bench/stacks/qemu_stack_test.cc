// The guests of all monitors get the same kernel, image and command line.
#include "tools/bench/stacks/qemu_stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/machine/machine.h"

namespace glassbox::bench {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

TEST(QemuArgv, HasTheKernelImageAndCommandLine) {
  const auto argv = qemu_argv({false, "microvm", 1, 256}, 77, -1, "/c");
  EXPECT_THAT(argv, Contains(default_command_line() + " nokaslr"));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/vmlinuz")));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/initramfs.cpio")));
  EXPECT_THAT(argv, IsSupersetOf({"user,id=net", "vhost-vsock-pci,guest-cid=77", "256M"}));
  EXPECT_THAT(qemu_argv({true, "q35", 1, 256}, 77, 9, "/c"),
              IsSupersetOf({"q35", "stream,id=net,addr.type=fd,addr.str=9"}));
}

// After a restart it boots the same machine again, also if that was the second choice.
TEST(QemuMachines, ARowKeepsTheMachineThatItHas) {
  EXPECT_THAT(qemu_machines("auto", ""), ElementsAre("microvm", "q35"));
  EXPECT_THAT(qemu_machines("auto", "q35"), ElementsAre("q35"));
  EXPECT_THAT(qemu_machines("auto", "microvm"), ElementsAre("microvm"));
  EXPECT_THAT(qemu_machines("q35", ""), ElementsAre("q35"));
}

}  // namespace
}  // namespace glassbox::bench
