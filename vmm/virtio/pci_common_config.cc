// The common configuration structure of the modern transport (virtio 1.2, 4.1.4.3): its registers, and what a
// write of the device status causes (2.1, 3.1). Every value here comes from the guest and is checked.
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <utility>

#include "vmm/virtio/pci_transport.h"

namespace glassbox::virtio {
namespace {

void set_low(GuestPhysAddr& address, std::uint32_t value) {
  address = (address & ~GuestPhysAddr{0xFFFF'FFFF}) | value;
}
void set_high(GuestPhysAddr& address, std::uint32_t value) {
  address = (address & 0xFFFF'FFFF) | (GuestPhysAddr{value} << 32);
}

}  // namespace

PciTransport::QueueState* PciTransport::selected_queue() const {
  return queue_select_ < queues_.size() ? queues_[queue_select_].get() : nullptr;
}

std::uint32_t PciTransport::read_register(std::uint64_t offset) const {
  switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
      return feature_select_;
    case VIRTIO_PCI_COMMON_DF:
      return feature_select_ < 2 ? static_cast<std::uint32_t>(offered_ >> (32 * feature_select_)) : 0;
    case VIRTIO_PCI_COMMON_GFSELECT:
      return driver_feature_select_;
    case VIRTIO_PCI_COMMON_GF:
      return driver_feature_select_ < 2
                 ? static_cast<std::uint32_t>(driver_features_ >> (32 * driver_feature_select_))
                 : 0;
    case VIRTIO_PCI_COMMON_MSIX:
      return config_vector_.load();
    case VIRTIO_PCI_COMMON_NUMQ:
      return info_.queues;
    case VIRTIO_PCI_COMMON_STATUS:
      return status_.load();
    case VIRTIO_PCI_COMMON_CFGGENERATION:
      return 0;  // config_generation: no device here changes its configuration
    case VIRTIO_PCI_COMMON_Q_SELECT:
      return queue_select_;
    default:
      break;
  }
  const QueueState* state = selected_queue();
  if (state == nullptr) return 0;  // queue_size 0: no such queue (4.1.5.1.3)
  switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
      return state->layout.size;
    case VIRTIO_PCI_COMMON_Q_MSIX:
      return state->vector.load();
    case VIRTIO_PCI_COMMON_Q_ENABLE:
      return state->enabled ? 1 : 0;
    case VIRTIO_PCI_COMMON_Q_NOFF:
      return state->index;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
      return static_cast<std::uint32_t>(state->layout.descriptors);
    case VIRTIO_PCI_COMMON_Q_DESCHI:
      return static_cast<std::uint32_t>(state->layout.descriptors >> 32);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
      return static_cast<std::uint32_t>(state->layout.available);
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
      return static_cast<std::uint32_t>(state->layout.available >> 32);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
      return static_cast<std::uint32_t>(state->layout.used);
    case VIRTIO_PCI_COMMON_Q_USEDHI:
      return static_cast<std::uint32_t>(state->layout.used >> 32);
    default:
      return 0;
  }
}

// A vector that does not exist reads back as "none", which tells the driver (4.1.5.1.2.1).
std::uint16_t PciTransport::checked_vector(std::uint32_t value) const {
  return value < msix_->vectors() ? static_cast<std::uint16_t>(value) : kNoVector;
}

void PciTransport::write_register(std::uint64_t offset, std::uint32_t value) {
  switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
      feature_select_ = value;
      return;
    case VIRTIO_PCI_COMMON_GFSELECT:
      driver_feature_select_ = value;
      return;
    case VIRTIO_PCI_COMMON_GF:
      if ((status_.load() & VIRTIO_CONFIG_S_FEATURES_OK) != 0) return;
      if (driver_feature_select_ == 0) set_low(driver_features_, value);
      if (driver_feature_select_ == 1) set_high(driver_features_, value);
      return;
    case VIRTIO_PCI_COMMON_MSIX:
      config_vector_.store(checked_vector(value));
      return;
    case VIRTIO_PCI_COMMON_STATUS:
      write_status(static_cast<std::uint8_t>(value));
      return;
    case VIRTIO_PCI_COMMON_Q_SELECT:
      queue_select_ = static_cast<std::uint16_t>(value);
      return;
    default:
      write_queue_register(offset, value);
  }
}

void PciTransport::write_queue_register(std::uint64_t offset, std::uint32_t value) {
  QueueState* state = selected_queue();
  if (state == nullptr) return;
  if (offset == VIRTIO_PCI_COMMON_Q_MSIX) return state->vector.store(checked_vector(value));
  if (state->enabled) return;  // the layout is fixed from here on
  Queue::Layout& layout = state->layout;
  switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
      layout.size = static_cast<std::uint16_t>(value);
      return;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
      state->enabled = value == 1;
      return;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
      return set_low(layout.descriptors, value);
    case VIRTIO_PCI_COMMON_Q_DESCHI:
      return set_high(layout.descriptors, value);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
      return set_low(layout.available, value);
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
      return set_high(layout.available, value);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
      return set_low(layout.used, value);
    case VIRTIO_PCI_COMMON_Q_USEDHI:
      return set_high(layout.used, value);
    default:
      return;
  }
}

void PciTransport::write_status(std::uint8_t value) {
  if (value == 0) return reset_device();
  const std::uint8_t old = status_.load();
  auto added = static_cast<std::uint8_t>(value & ~old & ~VIRTIO_CONFIG_S_NEEDS_RESET);
  if ((added & VIRTIO_CONFIG_S_FEATURES_OK) != 0) {
    const bool fine = (driver_features_ & ~offered_) == 0 && (driver_features_ & kFeatureVersion1) != 0 &&
                      device_->accepts(driver_features_);
    if (!fine)
      added &= static_cast<std::uint8_t>(~VIRTIO_CONFIG_S_FEATURES_OK);  // the driver reads it back (3.1.1)
  }
  const std::uint8_t now = status_.fetch_or(added) | added;
  const bool start = (added & VIRTIO_CONFIG_S_DRIVER_OK) != 0 && (now & VIRTIO_CONFIG_S_FEATURES_OK) != 0;
  if (start) activate_device();
}

void PciTransport::activate_device() {
  device_->loop().post_and_wait([this] {
    const Queue::Features features{.event_idx = (driver_features_ & kFeatureEventIdx) != 0,
                                   .indirect = (driver_features_ & kFeatureIndirect) != 0};
    for (auto& state : queues_) {
      if (!state->enabled) continue;
      const bool fits = state->layout.size <= info_.queue_size;
      if (!fits || !state->queue.enable(vm().memory(), state->layout, features)) return needs_reset();
    }
    active_ = true;
    device_->activate(*this, driver_features_);
  });
}

void PciTransport::reset_device() {
  device_->loop().post_and_wait([this] {
    if (std::exchange(active_, false)) device_->reset();
    for (auto& state : queues_)
      state->queue.disable();
    status_.store(0);
    isr_.store(0);
  });
  driver_features_ = 0;
  feature_select_ = driver_feature_select_ = 0;
  queue_select_ = 0;
  config_vector_.store(kNoVector);
  for (auto& state : queues_) {
    state->enabled = false;
    state->vector.store(kNoVector);
    state->layout = Queue::Layout{.size = info_.queue_size};
  }
}

}  // namespace glassbox::virtio
