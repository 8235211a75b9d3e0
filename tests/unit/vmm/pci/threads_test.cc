// Control writes from vCPU threads against a running device loop. Meant for the thread sanitizer; without it
// the test still finds deadlocks.
#include <gtest/gtest.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <poll.h>

#include <atomic>
#include <thread>

#include "net/loop/event_loop.h"
#include "tests/unit/vmm/virtio/driver_queue.h"
#include "tests/unit/vmm/virtio/fake_vm.h"
#include "vmm/pci/host.h"
#include "vmm/platform/layout.h"
#include "vmm/virtio/pci_transport.h"
#include "vmm/virtio/rng_device.h"

namespace glassbox {
namespace {

class ThreadsTest : public testing::Test {
 protected:
  static constexpr unsigned kDevice = 1;
  static constexpr unsigned kQueueGsi = 25;

  void SetUp() override {
    loop = std::move(*net::EventLoop::create(net::ProbeMode::kNone));
    host = std::move(*pci::Host::create(vm, {.base = layout::kPciMemBase, .size = layout::kPciMemSize}));
    auto transport = virtio::PciTransport::create(vm, std::make_unique<virtio::RngDevice>(*loop));
    ASSERT_TRUE(transport);
    ASSERT_TRUE(host->add(std::move(*transport)));
    owner = std::thread([this] { loop->run(); });
    config_write(pci::kCommand, pci::kCommandMemory);
    ASSERT_EQ(vm.mmio.size(), 2U);
    registers = vm.mmio.begin()->first;
    table = std::next(vm.mmio.begin())->first;
    config_write(kMsixControl, pci::MsixTable::kControlEnable);
    for (unsigned i = 0; i < 2; ++i)
      vm.mmio_write<std::uint32_t>(table + 16 * i + 12, 0);
  }
  void TearDown() override {
    loop->stop();
    owner.join();
    host.reset();
  }
  void config_write(unsigned offset, std::uint16_t value) {
    const std::uint32_t address = 0x8000'0000U | (kDevice << 11) | (offset & 0xFC);
    host->io_write(0, 0, std::span(reinterpret_cast<const std::uint8_t*>(&address), 4));
    host->io_write(0, 4 + (offset & 3), std::span(reinterpret_cast<const std::uint8_t*>(&value), 2));
  }
  template <typename T>
  void set(unsigned offset, T value) {
    vm.mmio_write<T>(registers + offset, value);
  }
  void start(const virtio::Queue::Layout& layout) {
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, 1);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GF, 1);
    set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, 0x0B);
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, layout.size);
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, 1);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_DESCLO, static_cast<std::uint32_t>(layout.descriptors));
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILLO, static_cast<std::uint32_t>(layout.available));
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_USEDLO, static_cast<std::uint32_t>(layout.used));
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, 0x0F);
  }
  void wait_for_interrupt() {
    pollfd ready{.fd = vm.irqfds.at(kQueueGsi), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, -1), 1);
    EXPECT_GE(vm.take_interrupts(kQueueGsi), 1U);
  }

  // The MSI-X capability's message control register: after five capabilities of 16, 20, 16, 16 and 20 bytes.
  static constexpr unsigned kMsixControl = 0x40 + 16 + 20 + 16 + 16 + 20 + 2;

  fake::FakeVm vm;
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<pci::Host> host;
  std::thread owner;
  GuestPhysAddr registers = 0;
  GuestPhysAddr table = 0;
};

TEST_F(ThreadsTest, ResetAndMaskingWhileTheDeviceWorks) {
  std::atomic<bool> done{false};
  std::thread other_vcpu([&] {
    while (!done.load()) {
      vm.mmio_write<std::uint32_t>(table + 12, 1);  // the configuration vector's mask
      (void)vm.mmio_read<std::uint8_t>(registers + VIRTIO_PCI_COMMON_STATUS);
      (void)vm.mmio_read<std::uint32_t>(table + 0x1000);
      vm.mmio_write<std::uint32_t>(table + 12, 0);
    }
  });
  const std::uint64_t one = 1;
  for (int round = 0; round < 200; ++round) {
    fake::DriverQueue driver(vm.memory(), 8);
    start(driver.layout());
    driver.chain().writable(32).submit();
    ASSERT_EQ(::write(vm.doorbells.begin()->second, &one, sizeof(one)), 8);
    wait_for_interrupt();
    EXPECT_EQ(driver.take_used()->length, 32U);
    set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, 0);
  }
  done = true;
  other_vcpu.join();
}

TEST_F(ThreadsTest, ControlWritesAfterTheLoopEndedStillWork) {
  fake::DriverQueue driver(vm.memory(), 8);
  start(driver.layout());
  loop->stop();
  owner.join();
  set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, 0);
  EXPECT_EQ(vm.mmio_read<std::uint8_t>(registers + VIRTIO_PCI_COMMON_STATUS), 0);
  owner = std::thread([this] { loop->run(); });
}

}  // namespace
}  // namespace glassbox
