// The frame path must allocate nothing: operator new is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/unit/vmm/virtio/driver_queue.h"
#include "tests/unit/vmm/virtio/fake_transport.h"
#include "tests/unit/vmm/virtio/fake_vm.h"
#include "tests/unit/vmm/virtio/test_loop.h"
#include "vmm/virtio/net/net_device.h"
#include "vmm/virtio/net/net_format.h"

namespace {
std::atomic<unsigned> allocations{0};
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace glassbox::virtio {
namespace {

// Answers every frame with one of the same length, as the NAT would.
class Reflector final : public net::FrameSink {
 public:
  explicit Reflector(net::GuestPort& port) : port_(port) {}
  void on_guest_frame(std::span<const iovec>, const net::VnetHeader&, std::uint16_t) override {
    if (port_.rx_reserve(1000).empty()) return;
    port_.rx_commit({.bytes = 1000, .vnet = {}});
  }
  void on_guest_burst_end() override { published += port_.rx_publish(); }
  void on_rx_space() override {}

  std::size_t published = 0;

 private:
  net::GuestPort& port_;
};

TEST(FramePath, AllocatesNothing) {
  constexpr std::uint16_t kSize = 64;
  fake::FakeVm vm;
  fake::TestLoop loop;
  fake::FakeTransport transport;
  fake::DriverQueue rx(vm.memory(), kSize, 1);
  fake::DriverQueue tx(vm.memory(), kSize, 2);
  NetDevice device(loop, {});
  Reflector sink(device);
  device.set_sink(&sink);
  const Queue::Features features{.event_idx = true, .indirect = true};
  ASSERT_TRUE(transport.queues[0].enable(vm.memory(), rx.layout(), features));
  ASSERT_TRUE(transport.queues[1].enable(vm.memory(), tx.layout(), features));
  device.activate(transport, kRingFeatures | net_format::kMergeableBuffers);
  loop.turn();
  const std::string frame(112, 'f');
  std::size_t expected = 0;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 10; ++i) {
      rx.chain().writable(600).submit();
      rx.chain().writable(600).submit();
      tx.chain().readable(frame).submit();
    }
    const unsigned before = allocations;
    device.on_kick(NetDevice::kTransmitQueue);
    const bool slept = loop.turn();
    const unsigned after = allocations;
    ASSERT_EQ(after, before);
    ASSERT_TRUE(slept);
    expected += 10;
    ASSERT_EQ(sink.published, expected);
  }
}

TEST(FramePath, TheCounterCounts) {
  const unsigned before = allocations;
  std::string long_string(1000, 'x');
  EXPECT_GT(allocations, before);
}

}  // namespace
}  // namespace glassbox::virtio
