// virtio over PCI, the modern transport (virtio 1.2, 4.1).
//
//   BAR 0  0x0000 common configuration   0x1000 ISR   0x2000 device configuration
//          0x3000 doorbells, one address a queue (notify_off_multiplier 4)
//   BAR 1  0x0000 MSI-X table            0x1000 pending bits
//
// Theory of operation: a doorbell write signals the queue's eventfd inside KVM (ioeventfd); the device's loop
// waits for it. The register file belongs to the vCPU threads, under a lock. Writes that reach the device or
// its queues (DRIVER_OK, reset, MSI-X) are posted to the device's loop, and the vCPU waits for them, so that
// the device has one thread. Vectors go the other way: the vCPU stores them and the loop reads them
// (atomics).
//
// The loop must never take the register lock: a vCPU holds it while it waits for the loop.
//
// pci_transport.cc is the PCI function (BARs, capabilities, doorbells), pci_common_config.cc the register
// file.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vmm/pci/function.h"
#include "vmm/pci/msix.h"
#include "vmm/virtio/device.h"

namespace glassbox::virtio {

class PciTransport final : public pci::Function, public Transport {
 public:
  static constexpr unsigned kRegisterBar = 0;
  static constexpr unsigned kMsixBar = 1;
  static constexpr std::uint64_t kIsrOffset = 0x1000;
  static constexpr std::uint64_t kDeviceOffset = 0x2000;
  static constexpr std::uint64_t kDoorbellOffset = 0x3000;
  static constexpr std::uint32_t kDoorbellStride = 4;
  static constexpr std::uint32_t kBlockSize = 0x1000;  // of each of the four register blocks

  // Owns the device, whose loop must outlive the transport.
  [[nodiscard]] static Result<std::unique_ptr<PciTransport>> create(VmServices& vm,
                                                                    std::unique_ptr<Device> device);
  ~PciTransport() override;

  // Transport, for the device.
  Queue& queue(unsigned index) override { return queues_.at(index)->queue; }
  std::uint16_t vector(unsigned queue) const override;
  bool deliverable(unsigned queue) const override { return msix_->deliverable(vector(queue)); }
  void interrupt(unsigned queue) override;
  void needs_reset() override;

 protected:
  void bar_read(unsigned bar, unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void bar_write(unsigned bar, unsigned vcpu, std::uint64_t offset,
                 std::span<const std::uint8_t> data) override;
  void bar_mapped(unsigned bar, GuestPhysAddr base) override;
  void bar_unmapping(unsigned bar, GuestPhysAddr base) override;
  void config_reading(unsigned vcpu, unsigned offset, std::size_t size) override;
  void config_written(unsigned vcpu, unsigned offset, std::size_t size) override;

 private:
  // A queue's registers, its doorbell and the queue itself.
  struct QueueState final : net::FdHandler {
    PciTransport* transport = nullptr;
    unsigned index = 0;
    UniqueFd doorbell;
    bool doorbell_assigned = false;
    Queue queue;
    Queue::Layout layout;
    bool enabled = false;
    std::atomic<std::uint16_t> vector{kNoVector};

    void on_fd_ready(std::uint32_t events) override;
  };

  PciTransport(VmServices& vm, std::unique_ptr<Device> device, const pci::Identity& identity);
  Status set_up();
  void add_virtio_capability(std::uint8_t type, std::uint64_t offset, std::uint32_t length);
  void add_window_capability();
  struct WindowTarget {
    std::uint64_t offset;
    std::size_t length;
  };
  // What the window points at, if a config access of [offset, offset + size) touches its data.
  [[nodiscard]] std::optional<WindowTarget> window_target(unsigned offset, std::size_t size);

  // Common configuration; the lock is held.
  [[nodiscard]] std::uint32_t read_register(std::uint64_t offset) const;
  void write_register(std::uint64_t offset, std::uint32_t value);
  void write_queue_register(std::uint64_t offset, std::uint32_t value);
  void write_status(std::uint8_t value);
  void reset_device();
  void activate_device();
  [[nodiscard]] QueueState* selected_queue() const;
  [[nodiscard]] std::uint16_t checked_vector(std::uint32_t value) const;

  std::unique_ptr<Device> device_;
  const DeviceInfo info_;
  const std::uint64_t offered_;
  std::unique_ptr<pci::MsixTable> msix_;
  unsigned msix_control_ = 0;  // offset of the message control register
  std::vector<std::unique_ptr<QueueState>> queues_;
  // Under the PCI host's lock: the configuration-access window (4.1.4.9).
  unsigned window_ = 0;

  std::mutex mutex_;  // the register file
  std::uint32_t feature_select_ = 0;
  std::uint32_t driver_feature_select_ = 0;
  std::uint64_t driver_features_ = 0;
  std::uint16_t queue_select_ = 0;

  std::atomic<std::uint8_t> status_{0};
  std::atomic<std::uint8_t> isr_{0};
  std::atomic<std::uint16_t> config_vector_{kNoVector};
  bool active_ = false;  // the loop's own
};

}  // namespace glassbox::virtio
