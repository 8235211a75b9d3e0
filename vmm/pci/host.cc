#include "vmm/pci/host.h"

#include <algorithm>
#include <cstring>

#include "vmm/platform/layout.h"

namespace glassbox::pci {
namespace {

constexpr std::uint64_t kDataOffset = layout::kPciConfigDataPort - layout::kPciConfigAddressPort;
constexpr std::uint32_t kEnable = 1U << 31;
constexpr std::uint32_t kAddressBits = kEnable | 0x00FF'FFFCU;

// The generic PCI host bridge with Red Hat's vendor id: no driver binds to it and no quirk applies to it.
constexpr Identity kHostBridge{.vendor = 0x1B36, .device = 0x0008, .class_code = 0x06'00'00};

class HostBridge final : public Function {
 public:
  explicit HostBridge(VmServices& vm) : Function(vm, kHostBridge) {}

 protected:
  void bar_read(unsigned, unsigned, std::uint64_t, std::span<std::uint8_t>) override {}
  void bar_write(unsigned, unsigned, std::uint64_t, std::span<const std::uint8_t>) override {}
};

}  // namespace

Result<std::unique_ptr<Host>> Host::create(VmServices& vm, const BarWindow& window) {
  std::unique_ptr<Host> host(new Host(window));
  GB_TRY(host->add(std::make_unique<HostBridge>(vm)));
  GB_TRY(vm.map_pio(layout::kPciConfigAddressPort, kDataOffset + 4, host.get()));
  return host;
}

Host::~Host() {
  for (auto& function : functions_)
    function->detach();
}

Result<unsigned> Host::add(std::unique_ptr<Function> function) {
  if (functions_.size() >= kMaxFunctions) return fail("pci: the bus is full ({} devices)", kMaxFunctions);
  next_bar_ = function->assign_bars(window_, next_bar_);
  functions_.push_back(std::move(function));
  return static_cast<unsigned>(functions_.size() - 1);
}

// Bits of the address register: 23-16 bus, 15-11 device, 10-8 function, 7-2 register.
Function* Host::selected() const {
  const unsigned bus = (address_ >> 16) & 0xFF;
  const unsigned device = (address_ >> 11) & 0x1F;
  const unsigned function = (address_ >> 8) & 7;
  if ((address_ & kEnable) == 0 || bus != 0 || function != 0 || device >= functions_.size()) return nullptr;
  return functions_[device].get();
}

void Host::io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0xFF});  // what an empty bus reads
  std::lock_guard lock(mutex_);
  if (offset == 0 && data.size() == sizeof(address_)) {
    std::memcpy(data.data(), &address_, sizeof(address_));
  } else if (offset >= kDataOffset) {
    if (Function* function = selected()) {
      function->config_read(vcpu, (address_ & 0xFC) + static_cast<unsigned>(offset - kDataOffset), data);
    }
  }
}

void Host::io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) {
  std::lock_guard lock(mutex_);
  if (offset == 0 && data.size() == sizeof(address_)) {
    std::memcpy(&address_, data.data(), sizeof(address_));
    address_ &= kAddressBits;
  } else if (offset >= kDataOffset) {
    if (Function* function = selected()) {
      function->config_write(vcpu, (address_ & 0xFC) + static_cast<unsigned>(offset - kDataOffset), data);
      for (const auto& other : functions_)
        other->update_mappings();
    }
  }
}

}  // namespace glassbox::pci
