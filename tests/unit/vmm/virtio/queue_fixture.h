// A queue between a driver and the test, which is the device.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/unit/vmm/virtio/driver_queue.h"
#include "tests/unit/vmm/virtio/fake_vm.h"
#include "vmm/base/iovec.h"
#include "vmm/virtio/queue.h"

namespace glassbox::virtio {

using fake::DriverQueue;
using fake::kIndirect;
using fake::kNext;
using fake::kWrite;

inline std::string text(std::span<const iovec> list) {
  std::string bytes(iov_bytes(list), '\0');
  iov_gather(list, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

class QueueTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kSize = 8;

  void enable(Queue::Features features = {.event_idx = true, .indirect = true}) {
    ASSERT_TRUE(queue.enable(vm.memory(), driver.layout(), features));
  }
  void expect_fault(QueueFault fault) {
    EXPECT_FALSE(queue.pop(storage));
    EXPECT_EQ(queue.fault(), fault);
    EXPECT_FALSE(queue.pop(storage)) << "a broken queue yields nothing";
    EXPECT_TRUE(queue.arm()) << "and keeps nobody awake";
  }

  fake::FakeVm vm;
  DriverQueue driver{vm.memory(), kSize};
  Queue queue;
  std::array<iovec, Queue::kMaxSize> storage{};
};

}  // namespace glassbox::virtio
