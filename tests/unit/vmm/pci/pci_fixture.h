// A bus with a virtio function and the clock's page on it, and a guest's accesses to its configuration space.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/vmm/virtio/fake_vm.h"
#include "tests/unit/vmm/virtio/test_loop.h"
#include "vmm/pci/host.h"
#include "vmm/platform/layout.h"
#include "vmm/virtio/clock_page.h"
#include "vmm/virtio/pci_transport.h"
#include "vmm/virtio/rng_device.h"

namespace glassbox {

inline constexpr pci::BarWindow kWindow{.base = layout::kPciMemBase, .size = layout::kPciMemSize};

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

}  // namespace glassbox
