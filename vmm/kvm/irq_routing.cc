#include "vmm/kvm/irq_routing.h"

#include "vmm/platform/layout.h"

namespace glassbox::kvm {
namespace {

// KVM_MAX_IRQ_ROUTES of x86; KVM_CAP_IRQ_ROUTING returns the same number.
constexpr unsigned kMaxGsis = 4096;

}  // namespace

Status IrqRouting::start() {
  const std::lock_guard lock(mutex_);
  return commit();
}

Result<unsigned> IrqRouting::alloc_gsi() {
  const std::lock_guard lock(mutex_);
  const unsigned gsi = layout::kIoApicPins + static_cast<unsigned>(messages_.size());
  if (gsi >= kMaxGsis) return fail("all {} interrupt routes are in use", kMaxGsis);
  messages_.emplace_back();
  return gsi;
}

Status IrqRouting::set_msi(unsigned gsi, const MsiMessage& message) {
  const std::lock_guard lock(mutex_);
  if (gsi < layout::kIoApicPins || gsi - layout::kIoApicPins >= messages_.size()) {
    return fail("GSI {} is not allocated", gsi);
  }
  auto& slot = messages_[gsi - layout::kIoApicPins];
  if (slot == message) return {};
  slot = message;
  return commit();
}

Status IrqRouting::commit() {
  std::vector<kvm_irq_routing_entry> entries;
  entries.reserve(layout::kIoApicPins + messages_.size());
  for (unsigned pin = 0; pin < layout::kIoApicPins; ++pin) {
    kvm_irq_routing_entry entry = {};
    entry.gsi = pin;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry.u.irqchip.pin = pin;
    entries.push_back(entry);
  }
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    if (!messages_[i]) continue;
    kvm_irq_routing_entry entry = {};
    entry.gsi = layout::kIoApicPins + static_cast<unsigned>(i);
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<std::uint32_t>(messages_[i]->address);
    entry.u.msi.address_hi = static_cast<std::uint32_t>(messages_[i]->address >> 32);
    entry.u.msi.data = messages_[i]->data;
    entries.push_back(entry);
  }
  return vm_.set_gsi_routing(entries);
}

}  // namespace glassbox::kvm
