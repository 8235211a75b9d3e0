#include "vmm/virtio/pci_transport.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "vmm/base/check.h"
#include "vmm/base/io.h"

namespace glassbox::virtio {
namespace {

constexpr std::uint16_t kVirtioVendor = 0x1AF4;
constexpr std::uint16_t kModernDeviceBase = 0x1040;
constexpr std::uint32_t kBar1Size = 2 * PciTransport::kBlockSize;
constexpr std::uint32_t kBar0Size = 4 * PciTransport::kBlockSize;
constexpr std::uint32_t kPendingOffset = PciTransport::kBlockSize;
constexpr std::uint8_t kIsrConfig = VIRTIO_PCI_ISR_CONFIG;

// virtio_pci_cap and virtio_pci_cfg_cap, without the id and next bytes that ConfigSpace writes.
constexpr std::size_t kWindowDataOffset = sizeof(virtio_pci_cap);

template <typename T>
std::span<const std::uint8_t> body_of(const T& capability) {
  return std::span(reinterpret_cast<const std::uint8_t*>(&capability), sizeof(T)).subspan(2);
}

// Each register of the common configuration has one width; an access of another width is ignored.
std::size_t register_width(std::uint64_t offset) {
  switch (offset) {
    case VIRTIO_PCI_COMMON_STATUS:
    case VIRTIO_PCI_COMMON_CFGGENERATION:
      return 1;
    case VIRTIO_PCI_COMMON_MSIX:
    case VIRTIO_PCI_COMMON_NUMQ:
    case VIRTIO_PCI_COMMON_Q_SELECT:
    case VIRTIO_PCI_COMMON_Q_SIZE:
    case VIRTIO_PCI_COMMON_Q_MSIX:
    case VIRTIO_PCI_COMMON_Q_ENABLE:
    case VIRTIO_PCI_COMMON_Q_NOFF:
      return 2;
    default:
      return 4;
  }
}

void store_le(std::span<std::uint8_t> data, std::uint32_t value) {
  for (std::uint8_t& byte : data) {
    byte = static_cast<std::uint8_t>(value);
    value >>= 8;
  }
}

std::uint32_t load_le(std::span<const std::uint8_t> data) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < data.size() && i < 4; ++i)
    value |= std::uint32_t{data[i]} << (8 * i);
  return value;
}

}  // namespace

Result<std::unique_ptr<PciTransport>> PciTransport::create(VmServices& vm, std::unique_ptr<Device> device) {
  const DeviceInfo info = device->info();
  const auto id = static_cast<std::uint16_t>(kModernDeviceBase + info.type);
  const pci::Identity identity{.vendor = kVirtioVendor,
                               .device = id,
                               .class_code = info.class_code,
                               .revision = 1,
                               .subsystem_vendor = kVirtioVendor,
                               .subsystem = id};
  std::unique_ptr<PciTransport> transport(new PciTransport(vm, std::move(device), identity));
  GB_TRY(transport->set_up());
  return transport;
}

PciTransport::PciTransport(VmServices& vm, std::unique_ptr<Device> device, const pci::Identity& identity)
    : Function(vm, identity),
      device_(std::move(device)),
      info_(device_->info()),
      offered_(info_.features | kRingFeatures) {}

Status PciTransport::set_up() {
  GB_CHECK(info_.queues * kDoorbellStride <= kBlockSize && info_.queue_size <= Queue::kMaxSize);
  GB_ASSIGN(msix_, pci::MsixTable::create(vm(), device_->loop(), info_.queues + 1U));
  add_bar(kRegisterBar, kBar0Size);
  add_bar(kMsixBar, kBar1Size);
  add_virtio_capability(VIRTIO_PCI_CAP_COMMON_CFG, 0, sizeof(virtio_pci_common_cfg));
  add_virtio_capability(VIRTIO_PCI_CAP_NOTIFY_CFG, kDoorbellOffset, info_.queues * kDoorbellStride);
  add_virtio_capability(VIRTIO_PCI_CAP_ISR_CFG, kIsrOffset, 1);
  add_virtio_capability(VIRTIO_PCI_CAP_DEVICE_CFG, kDeviceOffset, kBlockSize);
  add_window_capability();
  const auto msix = pci::msix_capability(msix_->vectors(), kMsixBar, 0, kPendingOffset);
  msix_control_ = config().add_capability(pci::kCapabilityMsix, msix) + 2;
  config().set_writable<std::uint16_t>(msix_control_,
                                       pci::MsixTable::kControlEnable | pci::MsixTable::kControlMaskAll);

  for (unsigned i = 0; i < info_.queues; ++i) {
    auto state = std::make_unique<QueueState>();
    state->transport = this;
    state->index = i;
    state->layout.size = info_.queue_size;
    state->doorbell = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!state->doorbell) return fail_errno(errno, "virtio: eventfd");
    queues_.push_back(std::move(state));
  }
  Status added;
  device_->loop().post_and_wait([this, &added] {
    for (auto& state : queues_) {
      added = device_->loop().add(state->doorbell.get(), EPOLLIN | EPOLLET, state.get());
      if (!added) return;
      if (device_->is_transmit_queue(state->index)) device_->loop().mark_kick_fd(state->doorbell.get());
    }
  });
  return added;
}

PciTransport::~PciTransport() {
  device_->loop().post_and_wait([this] {
    if (active_) device_->reset();
    for (auto& state : queues_)
      device_->loop().remove(state->doorbell.get());
  });
}

void PciTransport::add_virtio_capability(std::uint8_t type, std::uint64_t offset, std::uint32_t length) {
  virtio_pci_notify_cap capability{};
  capability.cap.cfg_type = type;
  capability.cap.bar = kRegisterBar;
  capability.cap.offset = static_cast<std::uint32_t>(offset);
  capability.cap.length = length;
  const bool doorbells = type == VIRTIO_PCI_CAP_NOTIFY_CFG;
  capability.cap.cap_len = doorbells ? sizeof(virtio_pci_notify_cap) : sizeof(virtio_pci_cap);
  capability.notify_off_multiplier = kDoorbellStride;
  config().add_capability(pci::kCapabilityVendor, body_of(capability).first(capability.cap.cap_len - 2U));
}

// The window in configuration space through which a BAR can be reached (mandatory, 4.1.4.9).
void PciTransport::add_window_capability() {
  virtio_pci_cfg_cap capability{};
  capability.cap.cap_len = sizeof(capability);
  capability.cap.cfg_type = VIRTIO_PCI_CAP_PCI_CFG;
  window_ = config().add_capability(pci::kCapabilityVendor, body_of(capability));
  config().set_writable<std::uint8_t>(window_ + VIRTIO_PCI_CAP_BAR, 0xFF);
  config().set_writable<std::uint32_t>(window_ + VIRTIO_PCI_CAP_OFFSET, ~0U);
  config().set_writable<std::uint32_t>(window_ + VIRTIO_PCI_CAP_LENGTH, ~0U);
  config().set_writable<std::uint32_t>(window_ + kWindowDataOffset, ~0U);
}

std::optional<PciTransport::WindowTarget> PciTransport::window_target(unsigned offset, std::size_t size) {
  const unsigned data = window_ + kWindowDataOffset;
  if (offset >= data + 4 || offset + size <= data) return std::nullopt;
  const auto bar = config().get<std::uint8_t>(window_ + VIRTIO_PCI_CAP_BAR);
  const auto at = config().get<std::uint32_t>(window_ + VIRTIO_PCI_CAP_OFFSET);
  const auto length = config().get<std::uint32_t>(window_ + VIRTIO_PCI_CAP_LENGTH);
  if (bar != kRegisterBar || (length != 1 && length != 2 && length != 4)) return std::nullopt;
  if (at % length != 0 || at >= kBar0Size) return std::nullopt;
  return WindowTarget{at, length};
}

void PciTransport::config_reading(unsigned vcpu, unsigned offset, std::size_t size) {
  const auto target = window_target(offset, size);
  if (!target) return;
  std::array<std::uint8_t, 4> value{};
  bar_read(kRegisterBar, vcpu, target->offset, std::span(value).first(target->length));
  config().set<std::uint32_t>(window_ + kWindowDataOffset, load_le(value));
}

void PciTransport::config_written(unsigned vcpu, unsigned offset, std::size_t size) {
  if (offset < msix_control_ + 2 && offset + size > msix_control_) {
    msix_->set_control(config().get<std::uint16_t>(msix_control_));
  }
  const auto target = window_target(offset, size);
  if (!target) return;
  std::array<std::uint8_t, 4> value{};
  config().read(window_ + kWindowDataOffset, value);
  bar_write(kRegisterBar, vcpu, target->offset, std::span(value).first(target->length));
}

// A doorbell write reaches the monitor only if it does not have 2 bytes, or if KVM refused the ioeventfd.
void PciTransport::bar_mapped(unsigned bar, GuestPhysAddr base) {
  if (bar != kRegisterBar) return;
  for (auto& state : queues_) {
    const GuestPhysAddr address = base + kDoorbellOffset + state->index * kDoorbellStride;
    state->doorbell_assigned = vm().assign_ioeventfd(address, 2, state->doorbell.get()).has_value();
  }
}

void PciTransport::bar_unmapping(unsigned bar, GuestPhysAddr base) {
  if (bar != kRegisterBar) return;
  for (auto& state : queues_) {
    if (!std::exchange(state->doorbell_assigned, false)) continue;
    const GuestPhysAddr address = base + kDoorbellOffset + state->index * kDoorbellStride;
    vm().deassign_ioeventfd(address, 2, state->doorbell.get());
  }
}

void PciTransport::bar_read(unsigned bar, unsigned, std::uint64_t offset, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
  if (bar == kMsixBar) {
    if (offset < kPendingOffset) return msix_->table_read(offset, data);
    return msix_->pending_read(offset - kPendingOffset, data);
  }
  if (offset < kIsrOffset) {
    std::lock_guard lock(mutex_);
    if (offset < sizeof(virtio_pci_common_cfg) && data.size() == register_width(offset)) {
      store_le(data, read_register(offset));
    }
  } else if (offset < kDeviceOffset) {
    if (offset == kIsrOffset) data[0] = isr_.exchange(0);  // reading acknowledges (4.1.4.5)
  } else if (offset < kDoorbellOffset) {
    device_->read_config(offset - kDeviceOffset, data);
  }
}

void PciTransport::bar_write(unsigned bar, unsigned, std::uint64_t offset,
                             std::span<const std::uint8_t> data) {
  if (bar == kMsixBar) {
    if (offset < kPendingOffset) msix_->table_write(offset, data);
    return;
  }
  if (offset < kIsrOffset) {
    std::lock_guard lock(mutex_);
    if (data.size() == register_width(offset)) write_register(offset, load_le(data));
  } else if (offset >= kDoorbellOffset) {
    const std::uint64_t index = (offset - kDoorbellOffset) / kDoorbellStride;
    if (index >= queues_.size()) return;
    signal_event(queues_[index]->doorbell.get());
  }
}

std::uint16_t PciTransport::vector(unsigned queue) const {
  return queues_.at(queue)->vector.load();
}

void PciTransport::interrupt(unsigned queue) {
  msix_->raise(vector(queue));
}

void PciTransport::needs_reset() {
  if ((status_.fetch_or(VIRTIO_CONFIG_S_NEEDS_RESET) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0) return;
  isr_.fetch_or(kIsrConfig);
  msix_->raise(config_vector_.load());
}

void PciTransport::QueueState::on_fd_ready(std::uint32_t) {
  // The counter need not be read: registered edge-triggered, each kick is an event, and it cannot reach 2^64.
  if (transport->active_) transport->device_->on_kick(index);
}

}  // namespace glassbox::virtio
