// A virtio function as a driver's probe sees it.
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <map>

#include "pci_fixture.h"
#include "tests/unit/vmm/virtio/driver_queue.h"

namespace glassbox {
namespace {

// The steps of virtio 1.2, 3.1.1 by which a driver starts a device.
class VirtioProbeTest : public PciTest {
 protected:
  void SetUp() override {
    PciTest::SetUp();
    decode(kRng, true);
    base = bar(kRng, 0);
    table = bar(kRng, 1);
  }
  template <typename T>
  T get(unsigned offset) {
    return vm.mmio_read<T>(base + offset);
  }
  template <typename T>
  void set(unsigned offset, T value) {
    vm.mmio_write<T>(base + offset, value);
  }
  std::uint8_t status() { return get<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS); }
  void add_status(std::uint8_t bit) { set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, status() | bit); }
  void set_features(std::uint64_t features) {
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, 0);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GF, static_cast<std::uint32_t>(features));
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, 1);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GF, static_cast<std::uint32_t>(features >> 32));
  }
  std::uint64_t features() {
    set<std::uint32_t>(VIRTIO_PCI_COMMON_DFSELECT, 0);
    const std::uint64_t low = get<std::uint32_t>(VIRTIO_PCI_COMMON_DF);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_DFSELECT, 1);
    return low | (std::uint64_t{get<std::uint32_t>(VIRTIO_PCI_COMMON_DF)} << 32);
  }
  void negotiate() {
    add_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(VIRTIO_CONFIG_S_DRIVER);
    set_features(virtio::kRingFeatures);
    add_status(VIRTIO_CONFIG_S_FEATURES_OK);
    ASSERT_NE(status() & VIRTIO_CONFIG_S_FEATURES_OK, 0);
  }
  void set_queue(const virtio::Queue::Layout& layout) {
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT, 0);
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, layout.size);
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, 1);
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_DESCLO, static_cast<std::uint32_t>(layout.descriptors));
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILLO, static_cast<std::uint32_t>(layout.available));
    set<std::uint32_t>(VIRTIO_PCI_COMMON_Q_USEDLO, static_cast<std::uint32_t>(layout.used));
    set<std::uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
  }
  void enable_msix() {
    const unsigned at = find_capability(kRng, pci::kCapabilityMsix);
    ASSERT_NE(at, 0U);
    config_write<std::uint16_t>(kRng, at + 2, pci::MsixTable::kControlEnable);
    for (unsigned i = 0; i < 2; ++i) {
      vm.mmio_write<std::uint32_t>(table + 16 * i, 0xFEE0'0000);
      vm.mmio_write<std::uint32_t>(table + 16 * i + 8, 0x40 + i);
      vm.mmio_write<std::uint32_t>(table + 16 * i + 12, 0);
    }
  }
  // As KVM would on a doorbell write.
  void ring() {
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(vm.doorbells.begin()->second, &one, sizeof(one)), 8);
    loop.turn();
  }
  // How often since the last look. (That a request is served says nothing: the loop looks before it sleeps.)
  std::uint64_t rung() {
    std::uint64_t count = 0;
    return ::read(vm.doorbells.begin()->second, &count, sizeof(count)) == sizeof(count) ? count : 0;
  }
  static constexpr unsigned kConfigGsi = 24;
  static constexpr unsigned kQueueGsi = 25;

  std::uint32_t base = 0;
  std::uint32_t table = 0;
};

TEST_F(VirtioProbeTest, CapabilitiesSayWhereThingsAre) {
  const std::map<std::uint8_t, std::uint32_t> expected = {{VIRTIO_PCI_CAP_COMMON_CFG, 0},
                                                          {VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000},
                                                          {VIRTIO_PCI_CAP_ISR_CFG, 0x1000},
                                                          {VIRTIO_PCI_CAP_DEVICE_CFG, 0x2000}};
  for (const auto& [type, offset] : expected) {
    const unsigned at = find_capability(kRng, pci::kCapabilityVendor, type);
    ASSERT_NE(at, 0U) << int{type};
    EXPECT_EQ(config_read<std::uint8_t>(kRng, at + VIRTIO_PCI_CAP_BAR), 0);
    EXPECT_EQ(config_read<std::uint32_t>(kRng, at + VIRTIO_PCI_CAP_OFFSET), offset);
  }
  const unsigned notify = find_capability(kRng, pci::kCapabilityVendor, VIRTIO_PCI_CAP_NOTIFY_CFG);
  EXPECT_EQ(config_read<std::uint32_t>(kRng, notify + VIRTIO_PCI_NOTIFY_CAP_MULT), 4U);
  const unsigned msix = find_capability(kRng, pci::kCapabilityMsix);
  EXPECT_EQ(config_read<std::uint16_t>(kRng, msix + 2) & 0x7FF, 1) << "two vectors";
  EXPECT_EQ(config_read<std::uint32_t>(kRng, msix + 4), 1U) << "table in BAR 1 at 0";
  EXPECT_EQ(config_read<std::uint32_t>(kRng, msix + 8), 0x1001U);
}

TEST_F(VirtioProbeTest, StartsAndServes) {
  enable_msix();
  negotiate();
  EXPECT_EQ(features(), virtio::kRingFeatures);
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_NUMQ), 1);
  fake::DriverQueue driver(vm.memory(), 16);
  set_queue(driver.layout());
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), 1);
  add_status(VIRTIO_CONFIG_S_DRIVER_OK);
  EXPECT_EQ(status(), 0x0F);
  driver.chain().writable(64).writable(10000).submit();
  ring();
  const auto used = driver.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 4096U) << "one request gets so much at most";
  EXPECT_NE(driver.written(*used), std::string(4096, '\0'));
  EXPECT_EQ(vm.take_interrupts(kQueueGsi), 1U);
  EXPECT_EQ(vm.routes[kQueueGsi], (MsiMessage{0xFEE0'0000, 0x41}));
}

TEST_F(VirtioProbeTest, DoorbellThroughAnExitWorksToo) {
  negotiate();
  fake::DriverQueue driver(vm.memory(), 16);
  set_queue(driver.layout());
  add_status(VIRTIO_CONFIG_S_DRIVER_OK);
  driver.chain().writable(8).submit();
  set<std::uint32_t>(0x3000, 0);
  EXPECT_EQ(rung(), 1U);
  loop.turn();
  EXPECT_TRUE(driver.take_used());
}

TEST_F(VirtioProbeTest, FeaturesThatWereNotOfferedAreRefused) {
  add_status(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  set_features(virtio::kRingFeatures | 1);
  add_status(VIRTIO_CONFIG_S_FEATURES_OK);
  EXPECT_EQ(status() & VIRTIO_CONFIG_S_FEATURES_OK, 0);
  set_features(virtio::kFeatureEventIdx);  // without VERSION_1
  add_status(VIRTIO_CONFIG_S_FEATURES_OK);
  EXPECT_EQ(status() & VIRTIO_CONFIG_S_FEATURES_OK, 0);
  set_features(virtio::kFeatureVersion1);
  add_status(VIRTIO_CONFIG_S_FEATURES_OK);
  EXPECT_NE(status() & VIRTIO_CONFIG_S_FEATURES_OK, 0);
  set_features(virtio::kRingFeatures);
  for (const std::uint32_t half : {0U, 1U}) {
    set<std::uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, half);
    EXPECT_EQ(get<std::uint32_t>(VIRTIO_PCI_COMMON_GF), half) << "fixed once they are agreed on";
  }
}

TEST_F(VirtioProbeTest, ResetPutsEverythingBack) {
  enable_msix();
  negotiate();
  fake::DriverQueue driver(vm.memory(), 16);
  set_queue(driver.layout());
  add_status(VIRTIO_CONFIG_S_DRIVER_OK);
  set<std::uint8_t>(VIRTIO_PCI_COMMON_STATUS, 0);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 256);
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), virtio::kNoVector);
  driver.chain().writable(8).submit();
  ring();
  EXPECT_FALSE(driver.take_used()) << "a kick after the reset reaches nothing";
}

TEST_F(VirtioProbeTest, AnEnabledQueueStaysWhereItIs) {
  negotiate();
  const fake::DriverQueue driver(vm.memory(), 16);
  set_queue(driver.layout());
  set_queue({.size = 8, .descriptors = 0x1000, .available = 0x2000, .used = 0x3000});
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 16);
  EXPECT_EQ(get<std::uint32_t>(VIRTIO_PCI_COMMON_Q_DESCLO), driver.layout().descriptors);
  EXPECT_EQ(get<std::uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILLO), driver.layout().available);
  EXPECT_EQ(get<std::uint32_t>(VIRTIO_PCI_COMMON_Q_USEDLO), driver.layout().used);
}

TEST_F(VirtioProbeTest, HostileQueueLayoutNeedsAReset) {
  enable_msix();
  negotiate();
  set<std::uint16_t>(VIRTIO_PCI_COMMON_MSIX, 0);
  set_queue({.size = 16, .descriptors = fake::FakeVm::kMemoryBytes - 16, .available = 0, .used = 0});
  add_status(VIRTIO_CONFIG_S_DRIVER_OK);
  EXPECT_NE(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
  EXPECT_EQ(vm.take_interrupts(kConfigGsi), 1U);
  EXPECT_EQ(get<std::uint8_t>(0x1000), VIRTIO_PCI_ISR_CONFIG);
  EXPECT_EQ(get<std::uint8_t>(0x1000), 0) << "reading acknowledges";
  ring();
}

TEST_F(VirtioProbeTest, BrokenQueueNeedsAResetOnce) {
  enable_msix();
  negotiate();
  set<std::uint16_t>(VIRTIO_PCI_COMMON_MSIX, 0);
  fake::DriverQueue driver(vm.memory(), 16);
  set_queue(driver.layout());
  add_status(VIRTIO_CONFIG_S_DRIVER_OK);
  driver.set_available_index(1000);
  ring();
  ring();
  EXPECT_NE(status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
  EXPECT_EQ(vm.take_interrupts(kConfigGsi), 1U);
}

TEST_F(VirtioProbeTest, WrongWidthsAndPlacesAreHarmless) {
  for (unsigned offset = 0; offset < 0x4000; offset += 2) {
    if (offset == VIRTIO_PCI_COMMON_STATUS) continue;
    set<std::uint16_t>(offset, 0xFFFF);
    (void)get<std::uint64_t>(offset);
    (void)get<std::uint16_t>(offset);
  }
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT), 0xFFFF);
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0) << "no such queue";
  EXPECT_EQ(get<std::uint16_t>(VIRTIO_PCI_COMMON_MSIX), virtio::kNoVector) << "no such vector";
}

// 4.1.4.9: registers from configuration space.
class ConfigWindowTest : public VirtioProbeTest {
 protected:
  void SetUp() override {
    VirtioProbeTest::SetUp();
    window = find_capability(kRng, pci::kCapabilityVendor, VIRTIO_PCI_CAP_PCI_CFG);
    ASSERT_NE(window, 0U);
    data = window + sizeof(virtio_pci_cap);
    config_write<std::uint8_t>(kRng, window + VIRTIO_PCI_CAP_BAR, 0);
  }
  void point(std::uint32_t offset, std::uint32_t length) {
    config_write<std::uint32_t>(kRng, window + VIRTIO_PCI_CAP_OFFSET, offset);
    config_write<std::uint32_t>(kRng, window + VIRTIO_PCI_CAP_LENGTH, length);
  }
  unsigned window = 0;
  unsigned data = 0;
};

TEST_F(ConfigWindowTest, RegistersAreReadAndWritten) {
  point(VIRTIO_PCI_COMMON_STATUS, 1);
  config_write<std::uint8_t>(kRng, data, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  EXPECT_EQ(status(), VIRTIO_CONFIG_S_ACKNOWLEDGE);
  add_status(VIRTIO_CONFIG_S_DRIVER);
  EXPECT_EQ(config_read<std::uint8_t>(kRng, data), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  point(0x4000, 1);  // outside: nothing happens
  config_write<std::uint8_t>(kRng, data, 0);
  EXPECT_NE(status(), 0);
}

TEST_F(ConfigWindowTest, OtherBarsAreNotReached) {
  config_write<std::uint8_t>(kRng, window + VIRTIO_PCI_CAP_BAR, 1);
  point(VIRTIO_PCI_COMMON_STATUS, 1);
  config_write<std::uint8_t>(kRng, data, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  EXPECT_EQ(status(), 0);
}

// A driver's offsets are multiples of the length (4.1.4.9.2); others must not even ring a doorbell.
TEST_F(ConfigWindowTest, UnalignedAccessReachesNothing) {
  for (const auto& [offset, length] : {std::pair{0x3001U, 2U}, {0x3001U, 4U}, {0x3002U, 4U}}) {
    point(offset, length);
    config_write<std::uint32_t>(kRng, data, 0);
    EXPECT_EQ(rung(), 0U) << std::hex << offset;
  }
  point(0x3000, 4);
  config_write<std::uint32_t>(kRng, data, 0);
  EXPECT_EQ(rung(), 1U);
}

}  // namespace
}  // namespace glassbox
