// virtio-rng (virtio 1.2, 5.4): the host's random bytes for the guest, one queue.
//
// Thread: the device loop.
#pragma once

#include <array>

#include "vmm/virtio/device.h"

namespace glassbox::virtio {

class RngDevice final : public Device {
 public:
  explicit RngDevice(net::EventLoop& loop);

  DeviceInfo info() const override;
  net::EventLoop& loop() override { return loop_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> data) const override;
  void activate(Transport& transport, std::uint64_t features) override;
  void reset() override;
  void on_kick(unsigned queue) override;

 private:
  void serve();

  net::EventLoop& loop_;
  Transport* transport_ = nullptr;  // null: not active
  std::array<iovec, Queue::kMaxSize> iovecs_{};
};

}  // namespace glassbox::virtio
