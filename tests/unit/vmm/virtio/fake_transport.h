// A transport without registers: queues enabled by the test, interrupts counted.
#pragma once

#include <array>

#include "vmm/virtio/device.h"

namespace glassbox::fake {

class FakeTransport final : public virtio::Transport {
 public:
  virtio::Queue& queue(unsigned index) override { return queues.at(index); }
  std::uint16_t vector(unsigned index) const override { return static_cast<std::uint16_t>(index + 1); }
  bool deliverable(unsigned) const override { return true; }
  void interrupt(unsigned index) override { ++interrupts.at(index); }
  void needs_reset() override { broken = true; }

  std::array<virtio::Queue, 3> queues;
  std::array<unsigned, 3> interrupts{};
  bool broken = false;
};

}  // namespace glassbox::fake
