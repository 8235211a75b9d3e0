// The interface between a virtio device and its transport. They are separate so that a device knows no
// register and can be tested with queues in fake memory.
//
// Thread: all on the device's event loop, except info() and read_config(), which are called on vCPU threads
// and must not depend on changing state.
#pragma once

#include <cstdint>
#include <span>

#include "net/loop/event_loop.h"
#include "vmm/virtio/queue.h"

namespace glassbox::virtio {

// virtio 1.2, 6: feature bits that belong to the transport and the rings, offered for every device.
inline constexpr std::uint64_t kFeatureIndirect = 1ULL << 28;
inline constexpr std::uint64_t kFeatureEventIdx = 1ULL << 29;
inline constexpr std::uint64_t kFeatureVersion1 = 1ULL << 32;
inline constexpr std::uint64_t kRingFeatures = kFeatureIndirect | kFeatureEventIdx | kFeatureVersion1;

inline constexpr std::uint16_t kNoVector = 0xFFFF;

class Transport {
 public:
  virtual ~Transport() = default;
  [[nodiscard]] virtual Queue& queue(unsigned index) = 0;
  // The vector of the queue's interrupt, kNoVector if the driver gave none; and whether it would be sent now.
  [[nodiscard]] virtual std::uint16_t vector(unsigned queue) const = 0;
  [[nodiscard]] virtual bool deliverable(unsigned queue) const = 0;
  virtual void interrupt(unsigned queue) = 0;
  // The driver broke a queue: DEVICE_NEEDS_RESET (2.1.2). May be called again: the driver is interrupted
  // once.
  virtual void needs_reset() = 0;
};

struct DeviceInfo {
  std::uint16_t type = 0;        // virtio 1.2, 5: 1 net, 4 entropy, 19 socket
  std::uint32_t class_code = 0;  // PCI class
  std::uint64_t features = 0;    // offered, without kRingFeatures
  std::uint16_t queues = 0;
  std::uint16_t queue_size = Queue::kMaxSize;
};

class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual DeviceInfo info() const = 0;
  // Owner of the device and its queues.
  [[nodiscard]] virtual net::EventLoop& loop() = 0;
  // The device-specific configuration; bytes beyond it read zero.
  virtual void read_config(std::uint64_t offset, std::span<std::uint8_t> data) const = 0;
  // Whether the driver may choose this subset of the offered features, ring features included. The transport
  // has checked that it is a subset.
  [[nodiscard]] virtual bool accepts(std::uint64_t /*features*/) const { return true; }

  // The driver set DRIVER_OK. The transport stays valid until the device is destroyed.
  virtual void activate(Transport& transport, std::uint64_t features) = 0;
  // After this call the device must not touch a queue until it is activated again.
  virtual void reset() = 0;
  // The driver notified the queue. Called only while active; several notifications may come as one call.
  virtual void on_kick(unsigned queue) = 0;
  // Whether this queue's kicks announce the guest's frames (argument `kicked` of net_poll_wake).
  [[nodiscard]] virtual bool is_transmit_queue(unsigned /*queue*/) const { return false; }
};

}  // namespace glassbox::virtio
