// The host's configuration mechanism, BARs that move, and a virtio function as a driver's probe sees it.
#include <gtest/gtest.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <map>

#include "guest/protocol.h"
#include "tests/unit/virtio/driver_queue.h"
#include "tests/unit/virtio/fake_vm.h"
#include "tests/unit/virtio/test_loop.h"
#include "vmm/machine/layout.h"
#include "vmm/pci/host.h"
#include "vmm/virtio/clock_page.h"
#include "vmm/virtio/pci_transport.h"
#include "vmm/virtio/rng_device.h"

namespace glassbox {
namespace {

constexpr pci::BarWindow kWindow{.base = layout::kPciMemBase, .size = layout::kPciMemSize};

class PciTest : public testing::Test {
 protected:
  static constexpr unsigned kRng = 1;
  static constexpr unsigned kClock = 2;

  void SetUp() override {
    auto made = pci::Host::create(vm, kWindow);
    ASSERT_TRUE(made);
    host = std::move(*made);
    auto transport = virtio::PciTransport::create(vm, std::make_unique<virtio::RngDevice>(loop));
    ASSERT_TRUE(transport);
    ASSERT_EQ(host->add(std::move(*transport)), kRng);
    ASSERT_EQ(host->add(std::make_unique<virtio::ClockPage>(vm)), kClock);
  }

  // Mechanism #1.
  template <typename T>
  T config_read(unsigned device, unsigned offset, unsigned function = 0) {
    select(device, offset, function);
    T value = 0;
    host->io_read(0, 4 + (offset & 3), std::span(reinterpret_cast<std::uint8_t*>(&value), sizeof(T)));
    return value;
  }
  template <typename T>
  void config_write(unsigned device, unsigned offset, T value) {
    select(device, offset, 0);
    host->io_write(0, 4 + (offset & 3), std::span(reinterpret_cast<const std::uint8_t*>(&value), sizeof(T)));
  }
  void select(unsigned device, unsigned offset, unsigned function) {
    const std::uint32_t address = 0x8000'0000U | (device << 11) | (function << 8) | (offset & 0xFC);
    host->io_write(0, 0, std::span(reinterpret_cast<const std::uint8_t*>(&address), 4));
  }
  std::uint32_t bar(unsigned device, unsigned index) {
    return config_read<std::uint32_t>(device, pci::kBar0 + 4 * index);
  }
  void set_bar(unsigned device, unsigned index, std::uint32_t value) {
    config_write<std::uint32_t>(device, pci::kBar0 + 4 * index, value);
  }
  void decode(unsigned device, bool on) {
    config_write<std::uint16_t>(device, pci::kCommand, on ? pci::kCommandMemory : 0);
  }
  // The offset of a capability, 0 if there is none; for vendor capabilities, of that cfg_type.
  unsigned find_capability(unsigned device, std::uint8_t id, std::uint8_t type = 0) {
    for (unsigned at = config_read<std::uint8_t>(device, pci::kCapabilityPointer); at != 0;
         at = config_read<std::uint8_t>(device, at + 1)) {
      if (config_read<std::uint8_t>(device, at) != id) continue;
      if (type == 0 || config_read<std::uint8_t>(device, at + 3) == type) return at;
    }
    return 0;
  }

  fake::FakeVm vm;
  fake::TestLoop loop;
  std::unique_ptr<pci::Host> host;
};

TEST_F(PciTest, FindsTheBusAndWhatIsOnIt) {
  EXPECT_EQ(vm.pio.count(0xCF8), 1U);
  select(0, 0, 0);
  std::uint32_t address = 0;
  host->io_read(0, 0, std::span(reinterpret_cast<std::uint8_t*>(&address), 4));
  EXPECT_EQ(address, 0x8000'0000U) << "by this a kernel knows the mechanism";
  EXPECT_EQ(config_read<std::uint16_t>(0, 0x0A), 0x0600) << "host bridge";
  EXPECT_EQ(config_read<std::uint32_t>(kRng, 0), 0x1044'1AF4U);
  EXPECT_EQ(config_read<std::uint16_t>(kClock, pci::kVendorId), protocol::kClockPciVendor);
  EXPECT_EQ(config_read<std::uint16_t>(kClock, pci::kDeviceId), protocol::kClockPciDevice);
  EXPECT_EQ(config_read<std::uint32_t>(3, 0), 0xFFFF'FFFFU) << "nothing there";
  EXPECT_EQ(config_read<std::uint32_t>(kRng, 0, 1), 0xFFFF'FFFFU) << "no second function";
  EXPECT_EQ(config_read<std::uint32_t>(kRng + 32, 0), 0xFFFF'FFFFU) << "no second bus";
  EXPECT_EQ(config_read<std::uint8_t>(kRng, 0x3D), 0) << "no interrupt pin";
}

TEST_F(PciTest, ReadOnlyBitsStay) {
  config_write<std::uint32_t>(kRng, pci::kVendorId, 0);
  config_write<std::uint16_t>(kRng, pci::kCommand, 0xFFFF);
  EXPECT_EQ(config_read<std::uint16_t>(kRng, pci::kVendorId), 0x1AF4);
  EXPECT_EQ(config_read<std::uint16_t>(kRng, pci::kCommand), 0x0406);
}

TEST_F(PciTest, BarsAreAssignedSizedAndMoved) {
  const std::uint32_t first = bar(kRng, 0);
  EXPECT_TRUE(kWindow.contains(first, 0x4000));
  EXPECT_TRUE(vm.mmio.empty()) << "no decoding before it is asked for";
  set_bar(kRng, 0, 0xFFFF'FFFF);
  EXPECT_EQ(bar(kRng, 0), ~0x3FFFU) << "a BAR of 16 KiB";
  set_bar(kRng, 0, first);
  decode(kRng, true);
  EXPECT_EQ(vm.mmio.count(first), 1U);
  EXPECT_EQ(vm.doorbells.count(first + virtio::PciTransport::kDoorbellOffset), 1U);

  const std::uint32_t moved = 0xD000'0000;
  set_bar(kRng, 0, moved);
  EXPECT_EQ(vm.mmio.count(first), 0U);
  EXPECT_EQ(vm.mmio.count(moved), 1U);
  EXPECT_EQ(vm.doorbells.size(), 1U);
  EXPECT_EQ(vm.doorbells.count(moved + virtio::PciTransport::kDoorbellOffset), 1U);

  decode(kRng, false);
  EXPECT_TRUE(vm.mmio.empty());
  EXPECT_TRUE(vm.doorbells.empty());
}

TEST_F(PciTest, BarsOutsideTheWindowOrOverOthersReachNothing) {
  decode(kRng, true);
  decode(kClock, true);
  const std::uint32_t clock = bar(kClock, 0);
  for (const std::uint32_t bad : {0U, 0x0010'0000U, 0xBFFF'C000U, 0xDFFF'F000U, 0xE000'0000U, 0xFFFF'C000U}) {
    set_bar(kRng, 0, bad);
    EXPECT_EQ(vm.mmio.size(), bad == 0xDFFF'F000U ? 3U : 2U) << std::hex << bad;  // masked: the last 16 KiB
  }
  set_bar(kRng, 0, clock & ~0x3FFFU);
  EXPECT_EQ(vm.mmio.size(), 2U) << "overlap: not mapped, and the clock page stays";
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(clock), 1U);
}

// A kernel that hands out the addresses anew writes one BAR after the other, with decoding on.
TEST_F(PciTest, ABarOverAnothersPlaceDecodesOnceThatHasGone) {
  decode(kRng, true);
  decode(kClock, true);
  const std::uint32_t rng = bar(kRng, 0);
  const std::uint32_t clock = bar(kClock, 0);
  set_bar(kClock, 0, rng);
  EXPECT_FALSE(vm.mmio.count(clock)) << "the clock page waits for its place";
  set_bar(kRng, 0, 0xD000'0000);
  EXPECT_EQ(vm.mmio.count(rng), 1U) << "and has it, though its own registers were not written again";
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(rng), 1U);
  EXPECT_EQ(vm.mmio.size(), 3U);
}

TEST_F(PciTest, HostTakesItsBarsAway) {
  decode(kRng, true);
  EXPECT_FALSE(vm.mmio.empty());
  host.reset();
  EXPECT_TRUE(vm.mmio.empty());
  EXPECT_TRUE(vm.doorbells.empty());
}

TEST_F(PciTest, ClockPageCountsExchanges) {
  decode(kClock, true);
  const std::uint32_t page = bar(kClock, 0);
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page), 1U);
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page), 2U);
  EXPECT_EQ(vm.mmio_read<std::uint16_t>(page), 0U) << "not an exchange";
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page + 4), 0U);
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page), 3U);
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page + protocol::kClockReadingOffset), 1U) << "numbers of their own";
  EXPECT_EQ(vm.mmio_read<std::uint32_t>(page + protocol::kClockReadingOffset), 2U);
}

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

TEST_F(VirtioProbeTest, RegistersThroughTheConfigurationWindow) {
  const unsigned at = find_capability(kRng, pci::kCapabilityVendor, VIRTIO_PCI_CAP_PCI_CFG);
  ASSERT_NE(at, 0U);
  config_write<std::uint8_t>(kRng, at + VIRTIO_PCI_CAP_BAR, 0);
  config_write<std::uint32_t>(kRng, at + VIRTIO_PCI_CAP_OFFSET, VIRTIO_PCI_COMMON_STATUS);
  config_write<std::uint32_t>(kRng, at + VIRTIO_PCI_CAP_LENGTH, 1);
  config_write<std::uint8_t>(kRng, at + 16, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  EXPECT_EQ(status(), VIRTIO_CONFIG_S_ACKNOWLEDGE);
  add_status(VIRTIO_CONFIG_S_DRIVER);
  EXPECT_EQ(config_read<std::uint8_t>(kRng, at + 16), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  config_write<std::uint32_t>(kRng, at + VIRTIO_PCI_CAP_OFFSET, 0x4000);  // outside: nothing happens
  config_write<std::uint8_t>(kRng, at + 16, 0);
  EXPECT_NE(status(), 0);
}

}  // namespace
}  // namespace glassbox
