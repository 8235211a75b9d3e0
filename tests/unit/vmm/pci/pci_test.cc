// The host's configuration mechanism and BARs that move.
#include "guest/protocol.h"
#include "pci_fixture.h"

namespace glassbox {
namespace {

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

// PCI 3.0, 3.2.2.3.2: bits 30-24 and 1-0 are zero, and without the enable bit the data port means no
// function.
TEST_F(PciTest, AddressRegisterHasNoOtherBits) {
  std::uint32_t value = 0xFFFF'FFFF;
  const auto bytes = std::span(reinterpret_cast<std::uint8_t*>(&value), 4);
  host->io_write(0, 0, bytes);
  host->io_read(0, 0, bytes);
  EXPECT_EQ(value, 0x80FF'FFFCU);
  value = kRng << 11;
  host->io_write(0, 0, bytes);
  host->io_read(0, 4, bytes);
  EXPECT_EQ(value, 0xFFFF'FFFFU);
}

TEST_F(PciTest, BeyondTheEndOfConfigurationSpaceIsNothing) {
  select(kRng, 0xFC, 0);
  std::uint32_t value = 0xFFFF'FFFF;
  host->io_read(0, 7, std::span(reinterpret_cast<std::uint8_t*>(&value), 4));
  EXPECT_EQ(value, 0U);
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

// A BAR has no bits for less than its size (PCI 3.0, 6.2.5.1): what it is assigned must be a multiple. The
// clock's page before it leaves the next free address at one that is not.
TEST_F(PciTest, AssignedAddressesAreMultiplesOfTheSize) {
  auto transport = virtio::PciTransport::create(vm, std::make_unique<virtio::RngDevice>(loop));
  ASSERT_TRUE(transport);
  const auto device = host->add(std::move(*transport));
  ASSERT_TRUE(device);
  ASSERT_NE((bar(kClock, 0) + 0x1000) % 0x4000, 0U);
  EXPECT_EQ(bar(*device, 0) % 0x4000, 0U);
  EXPECT_EQ(bar(*device, 1) % 0x2000, 0U);
  decode(*device, true);
  EXPECT_EQ(vm.mmio.count(bar(*device, 0)), 1U);
  EXPECT_EQ(vm.mmio.count(bar(*device, 1)), 1U);
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

}  // namespace
}  // namespace glassbox
