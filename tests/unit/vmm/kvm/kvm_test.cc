// The parts of vmm/kvm that need no KVM: the bus and CPUID; and what check_kvm() says of the KVM there is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include "vmm/base/lab.h"
#include "vmm/kvm/cpu_state.h"
#include "vmm/kvm/io_bus.h"
#include "vmm/kvm/usability.h"

namespace glassbox::kvm {
namespace {

using ::testing::HasSubstr;

class RecordingIoHandler : public IoHandler {
 public:
  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override {
    last_vcpu = vcpu;
    last_offset = offset;
    std::fill(data.begin(), data.end(), std::uint8_t{0x11});
    if (on_access) on_access();
  }
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override {
    last_vcpu = vcpu;
    last_offset = offset;
    last_size = data.size();
    if (on_access) on_access();
  }
  unsigned last_vcpu = 99;
  std::uint64_t last_offset = 99;
  std::size_t last_size = 0;
  std::function<void()> on_access;
};

std::uint32_t read32(IoBus& bus, std::uint64_t addr, unsigned vcpu = 0) {
  std::uint32_t value = 0;
  bus.read(vcpu, addr, {reinterpret_cast<std::uint8_t*>(&value), 4});
  return value;
}

TEST(IoBusTest, FindsTheRangeAndTheOffset) {
  IoBus bus("memory");
  RecordingIoHandler low;
  RecordingIoHandler high;
  ASSERT_TRUE(bus.add(0x2000, 0x1000, &high));
  ASSERT_TRUE(bus.add(0x1000, 0x1000, &low));
  EXPECT_EQ(read32(bus, 0x1FFC, 1), 0x11111111U);
  EXPECT_EQ(low.last_offset, 0xFFCU);
  EXPECT_EQ(low.last_vcpu, 1U);
  read32(bus, 0x2000, 3);
  EXPECT_EQ(high.last_offset, 0U);
  EXPECT_EQ(high.last_vcpu, 3U);
}

TEST(IoBusTest, NobodyThereReadsAllOnes) {
  IoBus bus("memory");
  RecordingIoHandler device;
  ASSERT_TRUE(bus.add(0x1000, 0x10, &device));
  EXPECT_EQ(read32(bus, 0xFFC), 0xFFFFFFFFU);
  EXPECT_EQ(read32(bus, 0x1010), 0xFFFFFFFFU);
  EXPECT_EQ(read32(bus, 0x100E), 0xFFFFFFFFU);  // straddles the end
  EXPECT_EQ(read32(bus, ~std::uint64_t{0} - 1), 0xFFFFFFFFU);
  EXPECT_EQ(device.last_offset, 99U);
}

TEST(IoBusTest, OverlapsAndNonsenseAreRefused) {
  IoBus bus("memory");
  RecordingIoHandler device;
  ASSERT_TRUE(bus.add(0x1000, 0x1000, &device));
  EXPECT_FALSE(bus.add(0x1000, 0x1000, &device));
  EXPECT_FALSE(bus.add(0x0800, 0x801, &device));
  EXPECT_FALSE(bus.add(0x1FFF, 1, &device));
  EXPECT_FALSE(bus.add(0, ~std::uint64_t{0}, &device));
  EXPECT_FALSE(bus.add(0x5000, 0, &device));
  EXPECT_FALSE(bus.add(~std::uint64_t{0}, 2, &device));
  EXPECT_TRUE(bus.add(0x0800, 0x800, &device));
  EXPECT_TRUE(bus.add(~std::uint64_t{0}, 1, &device));
}

TEST(IoBusTest, RemovedRangeIsGone) {
  IoBus bus("memory");
  RecordingIoHandler device;
  ASSERT_TRUE(bus.add(0x1000, 0x1000, &device));
  bus.remove(0x1000);
  bus.remove(0x1000);
  EXPECT_EQ(read32(bus, 0x1000), 0xFFFFFFFFU);
}

TEST(IoBusTest, RemoveWaitsForAnotherVcpuInsideTheDevice) {
  IoBus bus("memory");
  RecordingIoHandler device;
  std::atomic<bool> inside{false};
  std::atomic<bool> release{false};
  std::atomic<bool> removed{false};
  device.on_access = [&] {
    inside = true;
    inside.notify_all();
    release.wait(false);
    EXPECT_FALSE(removed);
  };
  ASSERT_TRUE(bus.add(0x1000, 0x1000, &device));
  std::thread vcpu([&] { read32(bus, 0x1000, 1); });
  inside.wait(false);
  std::thread remover([&] {
    bus.remove(0x1000);
    removed = true;
  });
  // The range goes first, then comes the wait: once its place is free, remove() waits or is about to.
  RecordingIoHandler other;
  while (!bus.add(0x1000, 0x1000, &other))
    std::this_thread::yield();
  EXPECT_FALSE(removed);
  release = true;
  release.notify_all();
  remover.join();
  vcpu.join();
  EXPECT_TRUE(removed);
}

TEST(IoBusTest, DeviceMayMoveARangeFromWithinItsOwnHandler) {
  IoBus bus("memory");
  RecordingIoHandler bridge;
  RecordingIoHandler bar;
  ASSERT_TRUE(bus.add(0x1000, 0x1000, &bridge));
  ASSERT_TRUE(bus.add(0x8000, 0x1000, &bar));
  bridge.on_access = [&] {
    bus.remove(0x8000);
    bus.remove(0x1000);  // even itself
    EXPECT_TRUE(bus.add(0x9000, 0x1000, &bar));
  };
  std::thread vcpu([&] { read32(bus, 0x1000); });
  vcpu.join();
  EXPECT_EQ(read32(bus, 0x8000), 0xFFFFFFFFU);
  EXPECT_EQ(read32(bus, 0x9000), 0x11111111U);
}

TEST(CpuState, SaysWhereAndInWhatMode) {
  kvm_regs regs{};
  kvm_sregs sregs{};
  regs.rip = 0xffffffff81000000;
  regs.rsp = 0x1234;
  sregs.cr0 = 0x80050033;
  sregs.efer = 0xd01;
  sregs.cr2 = 0xdead;
  sregs.cs.selector = 0x10;
  sregs.cs.l = 1;
  sregs.idt.base = 0xfffffe0000000000;
  sregs.idt.limit = 0xfff;
  EXPECT_EQ(describe(regs, sregs),
            "rip 10:0xffffffff81000000, 64-bit mode, rsp 0x1234, rflags 0x0, cr0 0x80050033, cr2 0xdead, "
            "cr3 0x0, cr4 0x0, idt 0xfffffe0000000000+0xfff");
  sregs.cs.l = 0;
  EXPECT_THAT(describe(regs, sregs), HasSubstr("compatibility mode"));
  sregs.efer = 0x101;  // long mode asked for, not yet active
  EXPECT_THAT(describe(regs, sregs), HasSubstr("protected mode"));
  sregs.cr0 = 0x60000010;
  EXPECT_THAT(describe(regs, sregs), HasSubstr("real mode"));
  EXPECT_FALSE(at_reset(regs, sregs));
  regs.rip = 0xfff0;
  EXPECT_FALSE(at_reset(regs, sregs)) << "real mode code may well be there";
  sregs.cs.base = 0xffff0000;
  EXPECT_TRUE(at_reset(regs, sregs));
}

TEST(UsabilityTest, SaysWhyEitherWay) {
  if (in_lab()) GTEST_SKIP() << "the lab's own KVM is usable whatever its rate";
  const Usability usability = check_kvm();
  EXPECT_FALSE(usability.reason.empty());
  EXPECT_EQ(usability.usable, usability.instructions_per_second >= kMinimumRate);
  if (usability.instructions_per_second != 0) {
    EXPECT_THAT(usability.reason, HasSubstr("million guest instructions a second"));
  }
}

// A busy host makes the lab's KVM arbitrarily slow, and there is no second lab to carry on in.
TEST(UsabilityTest, TheLabsKvmIsUsableAtAnyRate) {
  const bool outside = !in_lab();
  if (outside) ::setenv("GLASSBOX_IN_LAB", "1", 1);
  const Usability usability = check_kvm();
  if (outside) ::unsetenv("GLASSBOX_IN_LAB");
  if (usability.instructions_per_second == 0) GTEST_SKIP() << "no /dev/kvm: " << usability.reason;
  EXPECT_TRUE(usability.usable) << usability.reason;
}

}  // namespace
}  // namespace glassbox::kvm
