// A PCI function: its configuration space and up to six 32-bit memory BARs.
//
// Theory of operation: the host assigns each BAR an address when the function is added, with memory decoding
// off. The guest may program other addresses and turn decoding on and off (its command register). Whenever
// that changes where a BAR decodes, the BAR is unmapped from guest physical space and mapped at its new
// address, through VmServices. An address outside the bus's window, or one that overlaps another range, is
// not mapped: the guest then reaches nothing there, and no other device is affected. There is no I/O BAR and
// no INTx.
//
// Thread: config_*() under the PCI host's lock, on a vCPU thread. BAR accesses on vCPU threads, concurrently
// with each other and with config accesses.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/pci/config_space.h"
#include "vmm/platform/services.h"

namespace glassbox::pci {

struct Identity {
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint32_t class_code = 0;  // 24 bits: base class, sub-class, interface
  std::uint8_t revision = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem = 0;
};

// Where BARs may decode.
struct BarWindow {
  GuestPhysAddr base = 0;
  std::uint64_t size = 0;
  [[nodiscard]] bool contains(GuestPhysAddr addr, std::uint64_t len) const {
    return addr >= base && len <= size && addr - base <= size - len;
  }
};

class Function {
 public:
  static constexpr unsigned kBars = 6;
  static constexpr std::uint32_t kMinBarBytes = 4096;  // a page: a guest can map each BAR to a process alone

  virtual ~Function() = default;
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  void config_read(unsigned vcpu, unsigned offset, std::span<std::uint8_t> data);
  void config_write(unsigned vcpu, unsigned offset, std::span<const std::uint8_t> data);

  // For the host. assign_bars() takes addresses from `next` on and returns the first free one after them.
  [[nodiscard]] GuestPhysAddr assign_bars(const BarWindow& window, GuestPhysAddr next);
  void update_mappings();  // after any function's configuration write
  void detach();           // unmaps every BAR; call it before destruction

  // Where a BAR decodes now, if it does.
  [[nodiscard]] std::optional<GuestPhysAddr> bar_address(unsigned bar) const;

 protected:
  Function(VmServices& vm, const Identity& identity);

  // size: a power of two, at least kMinBarBytes.
  void add_bar(unsigned bar, std::uint32_t size);
  [[nodiscard]] ConfigSpace& config() { return config_; }
  [[nodiscard]] VmServices& vm() { return vm_; }

  // offset and data.size() lie within the BAR.
  virtual void bar_read(unsigned bar, unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) = 0;
  virtual void bar_write(unsigned bar, unsigned vcpu, std::uint64_t offset,
                         std::span<const std::uint8_t> data) = 0;
  // The BAR has begun to decode at base; it is about to stop.
  virtual void bar_mapped(unsigned /*bar*/, GuestPhysAddr /*base*/) {}
  virtual void bar_unmapping(unsigned /*bar*/, GuestPhysAddr /*base*/) {}
  // Before a read is answered, and after a write was stored: for registers with a meaning of their own.
  virtual void config_reading(unsigned /*vcpu*/, unsigned /*offset*/, std::size_t /*size*/) {}
  virtual void config_written(unsigned /*vcpu*/, unsigned /*offset*/, std::size_t /*size*/) {}

 private:
  struct Bar final : IoHandler {
    Function* function = nullptr;
    unsigned index = 0;
    std::uint32_t size = 0;  // 0: not implemented
    std::optional<GuestPhysAddr> mapped;

    void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override {
      function->bar_read(index, vcpu, offset, data);
    }
    void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override {
      function->bar_write(index, vcpu, offset, data);
    }
  };

  void unmap(Bar& bar);

  VmServices& vm_;
  ConfigSpace config_;
  BarWindow window_;
  std::array<Bar, kBars> bars_;
};

}  // namespace glassbox::pci
