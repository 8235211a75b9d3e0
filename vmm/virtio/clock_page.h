// The PCI function of clock exchanges (guest/protocol.h). Not a virtio device: one BAR of one page. A 32-bit
// read at offset 0 exits to the monitor, fires the probe clock_exchange, whose listener takes the host's
// time, and returns the exchange's number, so that the guest can say which host time lies between its two
// clock reads. A read at kClockReadingOffset fires the probe clock_reading, with KVM's own word about the
// clocks. It is a word of its own because asking KVM would widen an exchange.
//
// Thread: any vCPU thread, no lock.
#pragma once

#include <atomic>

#include "vmm/pci/function.h"

namespace glassbox::virtio {

class ClockPage final : public pci::Function {
 public:
  explicit ClockPage(VmServices& vm);

 protected:
  void bar_read(unsigned bar, unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void bar_write(unsigned, unsigned, std::uint64_t, std::span<const std::uint8_t>) override {}

 private:
  void tell_clocks(std::uint32_t reading, unsigned vcpu);

  VmServices& vm_;
  std::atomic<std::uint32_t> exchanges_{0}, readings_{0};
};

}  // namespace glassbox::virtio
