// VmServices without a VM: guest memory, and a record of what devices asked for.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

#include "vmm/platform/services.h"

namespace glassbox::fake {

class FakeVm final : public VmServices {
 public:
  static constexpr std::uint64_t kMemoryBytes = 16 << 20;

  FakeVm() : memory_(std::move(*GuestMemory::create(kMemoryBytes))) {}

  const GuestMemory& memory() const override { return memory_; }

  Result<unsigned> alloc_gsi() override { return next_gsi_++; }
  Status set_msi(unsigned gsi, const MsiMessage& message) override {
    ++set_msi_calls;
    if (refuse_msi) return fail("not a message");
    routes[gsi] = message;
    return {};
  }
  Status assign_irqfd(int event_fd, unsigned gsi) override {
    irqfds[gsi] = event_fd;
    return {};
  }
  Status deassign_irqfd(int, unsigned gsi) override {
    irqfds.erase(gsi);
    return {};
  }
  Status assign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) override {
    EXPECT_EQ(len, 2U);
    EXPECT_TRUE(doorbells.emplace(addr, event_fd).second) << "doorbell assigned twice";
    return {};
  }
  Status deassign_ioeventfd(GuestPhysAddr addr, unsigned, int event_fd) override {
    EXPECT_EQ(doorbells.at(addr), event_fd);
    doorbells.erase(addr);
    return {};
  }
  Status map_mmio(GuestPhysAddr base, std::uint64_t size, IoHandler* handler) override {
    for (const auto& [other, region] : mmio)
      if (base < other + region.size && other < base + size) return fail("overlap");
    mmio[base] = {size, handler};
    return {};
  }
  void unmap_mmio(GuestPhysAddr base) override { EXPECT_EQ(mmio.erase(base), 1U); }
  Status map_pio(std::uint16_t base, std::uint16_t size, IoHandler* handler) override {
    pio[base] = {size, handler};
    return {};
  }
  KvmClocks kvm_clocks(unsigned) override { return {}; }
  void request_power_off() override {}
  void request_reset() override {}

  // How often the vector's interrupt was raised since the last look.
  std::uint64_t take_interrupts(unsigned gsi) {
    const auto it = irqfds.find(gsi);
    std::uint64_t count = 0;
    if (it == irqfds.end() || ::read(it->second, &count, sizeof(count)) != sizeof(count)) return 0;
    return count;
  }

  // A guest's access to physical memory that is not RAM; 0xff.. where nothing is mapped.
  template <typename T>
  T mmio_read(GuestPhysAddr addr) {
    T value = static_cast<T>(~T{0});
    if (auto hit = find(addr, sizeof(T)))
      hit->first->io_read(0, hit->second, std::span(reinterpret_cast<std::uint8_t*>(&value), sizeof(T)));
    return value;
  }
  template <typename T>
  void mmio_write(GuestPhysAddr addr, T value) {
    if (auto hit = find(addr, sizeof(T)))
      hit->first->io_write(0, hit->second,
                           std::span(reinterpret_cast<const std::uint8_t*>(&value), sizeof(T)));
  }

  struct Block {
    std::uint64_t size;
    IoHandler* handler;
  };
  std::map<GuestPhysAddr, Block> mmio;
  std::map<std::uint16_t, Block> pio;
  std::map<GuestPhysAddr, int> doorbells;
  std::map<unsigned, MsiMessage> routes;
  std::map<unsigned, int> irqfds;
  unsigned set_msi_calls = 0;
  bool refuse_msi = false;

 private:
  std::optional<std::pair<IoHandler*, std::uint64_t>> find(GuestPhysAddr addr, std::size_t size) {
    for (const auto& [base, block] : mmio)
      if (addr >= base && addr + size <= base + block.size) return std::pair(block.handler, addr - base);
    return std::nullopt;
  }

  GuestMemory memory_;
  unsigned next_gsi_ = 24;
};

}  // namespace glassbox::fake
