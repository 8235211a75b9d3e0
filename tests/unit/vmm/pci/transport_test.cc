// What a device hears of its driver through the PCI transport. Ours look into their queues by themselves
// before the loop sleeps, so that a kick that was lost does not show on them; this one does as it is told.
#include <gmock/gmock.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "pci_fixture.h"
#include "tests/unit/vmm/virtio/driver_queue.h"

namespace glassbox {
namespace {

using ::testing::ElementsAre;

struct Heard {
  virtio::Transport* transport = nullptr;
  unsigned activations = 0;
  unsigned resets = 0;
  std::vector<unsigned> kicks;
};

class ListeningDevice final : public virtio::Device {
 public:
  ListeningDevice(net::EventLoop& loop, Heard& heard) : loop_(loop), heard_(heard) {}
  [[nodiscard]] virtio::DeviceInfo info() const override { return {.type = 1, .queues = 2}; }
  [[nodiscard]] net::EventLoop& loop() override { return loop_; }
  // Each byte says where it is; there are 256.
  void read_config(std::uint64_t offset, std::span<std::uint8_t> data) const override {
    for (std::uint8_t& byte : data) {
      byte = offset < 256 ? static_cast<std::uint8_t>(offset) : 0;
      ++offset;
    }
  }
  void activate(virtio::Transport& transport, std::uint64_t) override {
    heard_.transport = &transport;
    ++heard_.activations;
  }
  void reset() override { ++heard_.resets; }
  void on_kick(unsigned queue) override { heard_.kicks.push_back(queue); }
  [[nodiscard]] bool is_transmit_queue(unsigned queue) const override { return queue == 1; }

 private:
  net::EventLoop& loop_;
  Heard& heard_;
};

class TransportTest : public PciTest {
 protected:
  static constexpr unsigned kDevice = 3;

  void SetUp() override {
    PciTest::SetUp();
    auto transport = virtio::PciTransport::create(vm, std::make_unique<ListeningDevice>(loop, heard));
    ASSERT_TRUE(transport);
    ASSERT_EQ(host->add(std::move(*transport)), kDevice);
    decode(kDevice, true);
    base = bar(kDevice, 0);
  }
  void TearDown() override { host.reset(); }  // and with it the device, before what it heard
  void set_status(std::uint8_t status) {
    vm.mmio_write<std::uint8_t>(base + VIRTIO_PCI_COMMON_STATUS, status);
  }
  void start() {
    vm.mmio_write<std::uint32_t>(base + VIRTIO_PCI_COMMON_GFSELECT, 1);
    vm.mmio_write<std::uint32_t>(base + VIRTIO_PCI_COMMON_GF, 1);
    set_status(0x0B);
    set_status(0x0F);
  }
  [[nodiscard]] int doorbell(unsigned queue) const {
    using virtio::PciTransport;
    return vm.doorbells.at(base + PciTransport::kDoorbellOffset + queue * PciTransport::kDoorbellStride);
  }
  // As KVM would on a doorbell write.
  void ring(unsigned queue) {
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(doorbell(queue), &one, sizeof(one)), 8);
    loop.turn();
  }

  Heard heard;
  std::uint32_t base = 0;
};

TEST_F(TransportTest, KicksReachTheDeviceWhileItIsActive) {
  ring(0);
  EXPECT_THAT(heard.kicks, ElementsAre()) << "before DRIVER_OK";
  start();
  EXPECT_EQ(heard.activations, 1U);
  ring(1);
  ring(0);
  ring(0);
  EXPECT_THAT(heard.kicks, ElementsAre(1, 0, 0)) << "the counter is never read: each is an edge";
  set_status(0);
  ring(1);
  EXPECT_EQ(heard.kicks.size(), 3U) << "after the reset";
}

TEST_F(TransportTest, DeviceIsResetWhereItWasActive) {
  set_status(0);
  EXPECT_EQ(heard.resets, 0U);
  start();
  set_status(0);
  set_status(0);
  EXPECT_EQ(heard.resets, 1U);
  start();
  host.reset();
  EXPECT_EQ(heard.activations, 2U);
  EXPECT_EQ(heard.resets, 2U) << "a device that goes is told before its queues are gone";
}

TEST_F(TransportTest, KicksOfTransmitQueuesAloneAreMarked) {
  EXPECT_THAT(loop.kick_fds, ElementsAre(doorbell(1)));
}

TEST_F(TransportTest, RegistersAreReadInTheirWidthOnly) {
  start();
  EXPECT_EQ(vm.mmio_read<std::uint8_t>(base + VIRTIO_PCI_COMMON_STATUS), 0x0F);
  EXPECT_EQ(vm.mmio_read<std::uint16_t>(base + VIRTIO_PCI_COMMON_STATUS), 0U);
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(base + VIRTIO_PCI_COMMON_NUMQ), 0U);
}

TEST_F(TransportTest, OnlyTheIsrByteAcknowledges) {
  start();
  heard.transport->needs_reset();
  EXPECT_EQ(vm.mmio_read<std::uint8_t>(base + 0x1001), 0U);
  EXPECT_EQ(vm.mmio_read<std::uint8_t>(base + 0x1000), VIRTIO_PCI_ISR_CONFIG);
  EXPECT_EQ(vm.mmio_read<std::uint8_t>(base + 0x1000), 0U);
}

TEST_F(TransportTest, DeviceConfigurationIsReadAsTheDeviceHasIt) {
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(base + 0x2000), 0x03'02'01'00U);
  EXPECT_EQ(vm.mmio_read<std::uint16_t>(base + 0x2003), 0x04'03U);
}

}  // namespace
}  // namespace glassbox
