// A network device between a driver's queues and a sink that records.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/vmm/virtio/driver_queue.h"
#include "tests/unit/vmm/virtio/fake_transport.h"
#include "tests/unit/vmm/virtio/fake_vm.h"
#include "tests/unit/vmm/virtio/test_loop.h"
#include "vmm/base/iovec.h"
#include "vmm/virtio/net/net_device.h"
#include "vmm/virtio/net/net_format.h"

namespace glassbox::virtio {

using fake::DriverQueue;
namespace format = net_format;

inline std::string header_bytes(const format::Header& header = {}) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

inline format::Header header_of(const std::string& bytes) {
  format::Header header;
  EXPECT_GE(bytes.size(), sizeof(header));
  iov_gather(std::array{iovec{const_cast<char*>(bytes.data()), bytes.size()}},
             std::as_writable_bytes(std::span(&header, 1)));
  return header;
}

class RecordingSink final : public net::FrameSink {
 public:
  void on_guest_frame(std::span<const iovec> frame, const net::VnetHeader& vnet, std::uint16_t) override {
    std::string bytes(iov_bytes(frame), '\0');
    iov_gather(frame, std::as_writable_bytes(std::span(bytes)));
    frames.push_back(bytes);
    headers.push_back(vnet);
  }
  void on_guest_burst_end() override { ++bursts; }
  void on_rx_space() override { ++rx_space; }

  std::vector<std::string> frames;
  std::vector<net::VnetHeader> headers;
  unsigned bursts = 0;
  unsigned rx_space = 0;
};

class NetDeviceTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kSize = 128;
  static constexpr std::uint64_t kAll =
      format::kMergeableBuffers | format::kGuestCsum | format::kGuestTso4 | kRingFeatures;

  void activate(std::uint64_t features = kAll) {
    const Queue::Features accepted{.event_idx = (features & kFeatureEventIdx) != 0,
                                   .indirect = (features & kFeatureIndirect) != 0};
    ASSERT_TRUE(transport.queues[0].enable(vm.memory(), rx.layout(), accepted));
    ASSERT_TRUE(transport.queues[1].enable(vm.memory(), tx.layout(), accepted));
    device.set_sink(&sink);
    device.activate(transport, features);
    loop.turn();
    sink.rx_space = 0;
  }
  // As the doorbell would: the kick, and the rest of the loop's turn.
  void kick(unsigned queue) {
    device.on_kick(queue);
    loop.turn();
  }
  void send(const std::string& frame) {
    tx.chain().readable(header_bytes() + frame).submit();
    kick(NetDevice::kTransmitQueue);
  }
  void fill(std::span<const iovec> room, const std::string& bytes) {
    ASSERT_EQ(iov_scatter(room, std::as_bytes(std::span(bytes))), bytes.size());
  }
  // One frame for the driver, from its buffers to the news of it.
  void receive(const std::string& bytes, bool awaited = true) {
    fill(device.rx_reserve(bytes.size()), bytes);
    device.rx_commit({.bytes = bytes.size(), .vnet = {}, .awaited = awaited});
    device.rx_publish();
  }

  fake::FakeVm vm;
  fake::TestLoop loop;
  fake::FakeTransport transport;
  DriverQueue rx{vm.memory(), kSize, 1};
  DriverQueue tx{vm.memory(), kSize, 2};
  RecordingSink sink;
  NetDevice device{loop, {.mac = {1, 2, 3, 4, 5, 6}, .mtu = 1500}};
};

}  // namespace glassbox::virtio
