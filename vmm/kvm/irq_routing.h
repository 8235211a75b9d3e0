// The table from GSIs to interrupts. GSIs 0..23 are the pins of the I/O APIC; the others are allocated
// to devices; each stands for one MSI message once the guest has programmed it.
//
// KVM takes the table as a whole, and a change costs it a grace period: it is set when a guest programs or
// masks a vector, never on the interrupt path (irqfd).
//
// Thread: any.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/kvm/vm.h"
#include "vmm/platform/services.h"

namespace glassbox::kvm {

class IrqRouting {
 public:
  explicit IrqRouting(Vm& vm) : vm_(vm) {}

  // Sets the pins' routes; call once, after create_irqchip().
  [[nodiscard]] Status start();
  [[nodiscard]] Result<unsigned> alloc_gsi();
  [[nodiscard]] Status set_msi(unsigned gsi, const MsiMessage& message);

 private:
  Status commit();

  Vm& vm_;
  std::mutex mutex_;
  std::vector<std::optional<MsiMessage>> messages_;  // of GSI layout::kIoApicPins + index
};

}  // namespace glassbox::kvm
