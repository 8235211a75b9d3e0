#include "vmm/pci/msix.h"

#include <gtest/gtest.h>

#include "tests/unit/vmm/virtio/fake_vm.h"
#include "tests/unit/vmm/virtio/test_loop.h"

namespace glassbox::pci {
namespace {

class MsixTest : public testing::Test {
 protected:
  static constexpr unsigned kVectors = 3;
  static constexpr unsigned kGsi = 24;

  void SetUp() override {
    auto made = MsixTable::create(vm, loop, kVectors);
    ASSERT_TRUE(made);
    table = std::move(*made);
  }
  void write(std::uint64_t offset, std::uint32_t value) {
    table->table_write(offset, std::span(reinterpret_cast<const std::uint8_t*>(&value), 4));
  }
  std::uint32_t read(std::uint64_t offset) {
    std::uint32_t value = 0;
    table->table_read(offset, std::span(reinterpret_cast<std::uint8_t*>(&value), 4));
    return value;
  }
  std::uint64_t pending() {
    std::uint64_t value = 0;
    table->pending_read(0, std::span(reinterpret_cast<std::uint8_t*>(&value), 8));
    return value;
  }
  void program(unsigned vector, std::uint32_t data) {
    write(16 * vector, 0xFEE0'0000);
    write(16 * vector + 4, 0);
    write(16 * vector + 8, data);
  }
  void mask(unsigned vector, bool on) { write(16 * vector + 12, on ? 1 : 0); }

  fake::FakeVm vm;
  fake::TestLoop loop;
  std::unique_ptr<MsixTable> table;
};

TEST_F(MsixTest, MaskedAtFirst) {
  EXPECT_EQ(read(12), 1U);
  table->set_control(MsixTable::kControlEnable);
  EXPECT_FALSE(table->raise(0));
  EXPECT_EQ(pending(), 1U);
}

TEST_F(MsixTest, OffRaisesNothing) {
  program(0, 0x31);
  mask(0, false);
  EXPECT_FALSE(table->raise(0));
  EXPECT_EQ(pending(), 0U) << "without MSI-X nothing is pending either";
  EXPECT_EQ(vm.set_msi_calls, 0U);
}

TEST_F(MsixTest, RaisesWhenUnmasked) {
  table->set_control(MsixTable::kControlEnable);
  program(1, 0x32);
  mask(1, false);
  EXPECT_TRUE(table->raise(1));
  EXPECT_EQ(vm.take_interrupts(kGsi + 1), 1U);
  EXPECT_EQ(vm.routes[kGsi + 1], (MsiMessage{0xFEE0'0000, 0x32}));
  EXPECT_FALSE(table->raise(kVectors));
  EXPECT_FALSE(table->raise(0xFFFF));
}

TEST_F(MsixTest, PendingFiresOnceOnUnmask) {
  table->set_control(MsixTable::kControlEnable);
  program(2, 0x33);
  mask(2, false);
  mask(2, true);
  EXPECT_FALSE(table->raise(2));
  EXPECT_FALSE(table->raise(2));
  EXPECT_EQ(pending(), 4U);
  EXPECT_EQ(vm.take_interrupts(kGsi + 2), 0U);
  mask(2, false);
  EXPECT_EQ(vm.take_interrupts(kGsi + 2), 1U);
  EXPECT_EQ(pending(), 0U);
}

TEST_F(MsixTest, FunctionMaskHoldsAllBack) {
  table->set_control(MsixTable::kControlEnable | MsixTable::kControlMaskAll);
  program(0, 0x31);
  mask(0, false);
  EXPECT_EQ(vm.set_msi_calls, 0U) << "nothing is routed while nothing can fire";
  EXPECT_FALSE(table->deliverable(0));
  EXPECT_FALSE(table->raise(0));
  table->set_control(MsixTable::kControlEnable);
  EXPECT_TRUE(table->deliverable(0));
  EXPECT_EQ(vm.take_interrupts(kGsi), 1U);
}

TEST_F(MsixTest, RoutesOnlyWhatChanged) {
  table->set_control(MsixTable::kControlEnable);
  program(0, 0x31);
  mask(0, false);
  EXPECT_EQ(vm.set_msi_calls, 1U);
  for (int i = 0; i < 10; ++i) {
    mask(0, true);
    mask(0, false);
  }
  EXPECT_EQ(vm.set_msi_calls, 1U) << "masking is no reason to reroute";
  mask(0, true);
  program(0, 0x55);
  EXPECT_EQ(vm.set_msi_calls, 1U) << "not while it is masked";
  mask(0, false);
  EXPECT_EQ(vm.set_msi_calls, 2U);
  EXPECT_EQ(vm.routes[kGsi].data, 0x55U);
}

TEST_F(MsixTest, AMessageThatKvmDoesNotTakeIsSilenceAndNotTheOldOne) {
  table->set_control(MsixTable::kControlEnable);
  program(0, 0x31);
  mask(0, false);
  vm.refuse_msi = true;
  program(0, 0x41);
  EXPECT_FALSE(table->raise(0));
  EXPECT_EQ(vm.take_interrupts(kGsi), 0U);
  EXPECT_FALSE(table->deliverable(0));
  vm.refuse_msi = false;
  program(0, 0x42);
  EXPECT_EQ(vm.take_interrupts(kGsi), 1U) << "what waited comes by the message that is good";
  EXPECT_EQ(vm.routes[kGsi], (MsiMessage{0xFEE0'0000, 0x42}));
}

TEST_F(MsixTest, DisablingForgetsWhatWasPending) {
  table->set_control(MsixTable::kControlEnable);
  table->raise(0);
  table->set_control(0);
  EXPECT_EQ(pending(), 0U);
}

TEST_F(MsixTest, OddAccessesAreHarmless) {
  const std::uint64_t ones = ~0ULL;
  for (std::uint64_t offset = 0; offset < 80; ++offset) {
    for (const std::size_t size : {1, 2, 4, 8})
      table->table_write(offset, std::span(reinterpret_cast<const std::uint8_t*>(&ones), size));
  }
  EXPECT_EQ(read(0), 0xFFFF'FFFCU) << "the low bits of an address are zero";
  EXPECT_EQ(read(12), 1U) << "only the mask bit is writable";
  EXPECT_EQ(read(16 * kVectors), 0U);
}

}  // namespace
}  // namespace glassbox::pci
