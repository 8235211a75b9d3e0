#include "vmm/pci/function.h"

#include <bit>
#include <cassert>

#include "vmm/base/check.h"

namespace glassbox::pci {
namespace {

constexpr unsigned bar_offset(unsigned bar) {
  return kBar0 + 4 * bar;
}

}  // namespace

Function::Function(VmServices& vm, const Identity& identity) : vm_(vm) {
  config_.set<std::uint16_t>(kVendorId, identity.vendor);
  config_.set<std::uint16_t>(kDeviceId, identity.device);
  config_.set<std::uint8_t>(kRevision, identity.revision);
  config_.set<std::uint8_t>(kClassCode, static_cast<std::uint8_t>(identity.class_code));
  config_.set<std::uint16_t>(kClassCode + 1, static_cast<std::uint16_t>(identity.class_code >> 8));
  config_.set<std::uint16_t>(kSubsystemVendorId, identity.subsystem_vendor);
  config_.set<std::uint16_t>(kSubsystemId, identity.subsystem);
  config_.set_writable<std::uint16_t>(kCommand, kCommandMemory | kCommandBusMaster | kCommandIntxDisable);
  for (unsigned i = 0; i < kBars; ++i) {
    bars_[i].function = this;
    bars_[i].index = i;
  }
}

void Function::add_bar(unsigned bar, std::uint32_t size) {
  GB_CHECK(bar < kBars && std::has_single_bit(size) && size >= kMinBarBytes);
  bars_[bar].size = size;
  config_.set_writable<std::uint32_t>(bar_offset(bar), ~(size - 1));
}

GuestPhysAddr Function::assign_bars(const BarWindow& window, GuestPhysAddr next) {
  window_ = window;
  for (const Bar& bar : bars_) {
    if (bar.size == 0) continue;
    const GuestPhysAddr base = (next + bar.size - 1) & ~GuestPhysAddr{bar.size - 1};
    assert(window.contains(base, bar.size));
    config_.set<std::uint32_t>(bar_offset(bar.index), static_cast<std::uint32_t>(base));
    next = base + bar.size;
  }
  return next;
}

void Function::config_read(unsigned vcpu, unsigned offset, std::span<std::uint8_t> data) {
  config_reading(vcpu, offset, data.size());
  config_.read(offset, data);
}

void Function::config_write(unsigned vcpu, unsigned offset, std::span<const std::uint8_t> data) {
  config_.write(offset, data);
  update_mappings();
  config_written(vcpu, offset, data.size());
}

std::optional<GuestPhysAddr> Function::bar_address(unsigned bar) const {
  return bars_.at(bar).mapped;
}

// Unmaps first, then maps, so that a guest can swap two BARs. A BAR that overlaps another function's stays
// unmapped until the host calls this again, after the other may have moved.
void Function::update_mappings() {
  const bool decode = (config_.get<std::uint16_t>(kCommand) & kCommandMemory) != 0;
  for (Bar& bar : bars_) {
    const GuestPhysAddr wanted = config_.get<std::uint32_t>(bar_offset(bar.index));
    if (bar.mapped && (!decode || *bar.mapped != wanted)) unmap(bar);
  }
  if (!decode) return;
  for (Bar& bar : bars_) {
    const GuestPhysAddr wanted = config_.get<std::uint32_t>(bar_offset(bar.index));
    if (bar.size == 0 || bar.mapped || !window_.contains(wanted, bar.size)) continue;
    if (!vm_.map_mmio(wanted, bar.size, &bar)) continue;  // overlap: not now
    bar.mapped = wanted;
    bar_mapped(bar.index, wanted);
  }
}

void Function::unmap(Bar& bar) {
  bar_unmapping(bar.index, *bar.mapped);
  vm_.unmap_mmio(*bar.mapped);
  bar.mapped.reset();
}

void Function::detach() {
  for (Bar& bar : bars_)
    if (bar.mapped) unmap(bar);
}

}  // namespace glassbox::pci
