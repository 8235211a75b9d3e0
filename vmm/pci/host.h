// The PCI host: one bus, found by configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): an address register at
// port 0xcf8, data at 0xcfc. Device 0 is the host bridge itself: a guest trusts the mechanism only if it
// finds one.
//
// Thread: built before the first vCPU runs; then called on vCPU threads and serialised by a
// lock. The lock is held while a BAR moves, which waits until no vCPU is in the BAR's handler. So no BAR
// handler may take it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/pci/function.h"
#include "vmm/platform/services.h"

namespace glassbox::pci {

class Host final : public IoHandler {
 public:
  static constexpr unsigned kMaxFunctions = 32;  // device numbers of a bus; function 0 of each

  [[nodiscard]] static Result<std::unique_ptr<Host>> create(VmServices& vm, const BarWindow& window);
  ~Host() override;

  // Puts the function on the bus as the next device; returns its device number.
  [[nodiscard]] Result<unsigned> add(std::unique_ptr<Function> function);

  // Ports 0xcf8 to 0xcff.
  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override;

 private:
  explicit Host(const BarWindow& window) : window_(window), next_bar_(window.base) {}
  [[nodiscard]] Function* selected() const;

  const BarWindow window_;
  GuestPhysAddr next_bar_;
  std::mutex mutex_;
  std::uint32_t address_ = 0;  // the register at 0xcf8
  std::vector<std::unique_ptr<Function>> functions_;
};

}  // namespace glassbox::pci
