// Frames for a driver, in the buffers that it lends.
#include <algorithm>

#include "tests/unit/vmm/virtio/net_device_fixture.h"

namespace glassbox::virtio {
namespace {

TEST_F(NetDeviceTest, ReceivesIntoOneBuffer) {
  activate();
  rx.chain().writable(1526).submit();
  const auto room = device.rx_reserve(100);
  ASSERT_EQ(iov_bytes(room), 100U);
  fill(room, "received");
  device.rx_commit({.bytes = 8, .vnet = {.flags = 2}, .flow = 7, .seq = 8, .tcp_flags = 16});
  EXPECT_EQ(device.rx_queued(), 1U);
  EXPECT_EQ(rx.used_index(), 0) << "not before it is published";
  EXPECT_EQ(device.rx_publish(), 1U);
  const auto used = rx.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 20U);
  EXPECT_EQ(rx.written(*used).substr(12), "received");
  EXPECT_EQ(header_of(rx.written(*used)).num_buffers, 1);
  EXPECT_EQ(header_of(rx.written(*used)).vnet.flags, 2);
  EXPECT_EQ(transport.interrupts[0], 1U);
  EXPECT_EQ(device.rx_publish(), 0U);
  EXPECT_EQ(transport.interrupts[0], 1U) << "nothing to publish, nothing to say";
}

TEST_F(NetDeviceTest, MergesBuffersAcrossChains) {
  activate();
  for (int i = 0; i < 4; ++i)
    rx.chain().writable(60).writable(40).submit();  // 100 bytes each
  std::string frame(250, '\0');
  std::generate(frame.begin(), frame.end(),
                [c = 'a']() mutable { return c = static_cast<char>(c == 'z' ? 'a' : c + 1); });
  const auto room = device.rx_reserve(388);
  ASSERT_EQ(iov_bytes(room), 388U);
  fill(room, frame);
  device.rx_commit({.bytes = frame.size(), .vnet = {}});  // 262 of the 400 lent
  EXPECT_EQ(device.rx_publish(), 1U);
  std::string bytes;
  for (const std::uint32_t expected : {100U, 100U, 62U}) {
    const auto used = rx.take_used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, expected);
    bytes += rx.written(*used);
  }
  EXPECT_FALSE(rx.take_used()) << "the fourth chain was lent, not used";
  EXPECT_EQ(header_of(bytes).num_buffers, 3);
  EXPECT_EQ(bytes.substr(12), frame);
  EXPECT_EQ(device.rx_reserve(88).size(), 2U) << "and can be had again";
}

TEST_F(NetDeviceTest, HeaderAcrossTinyBuffers) {
  activate();
  for (int i = 0; i < 20; ++i)
    rx.chain().writable(1).submit();
  const auto room = device.rx_reserve(8);
  ASSERT_EQ(iov_bytes(room), 8U);
  fill(room, "tiny one");
  device.rx_commit({.bytes = 8, .vnet = {}});
  EXPECT_EQ(device.rx_publish(), 1U);
  std::string bytes;
  while (auto used = rx.take_used())
    bytes += rx.written(*used);
  EXPECT_EQ(header_of(bytes).num_buffers, 20);
  EXPECT_EQ(bytes.substr(12), "tiny one");
}

TEST_F(NetDeviceTest, WithoutMergingAFrameMustFitOneChain) {
  activate(kRingFeatures);
  rx.chain().writable(100).submit();
  rx.chain().writable(2000).submit();
  EXPECT_TRUE(device.rx_reserve(89).empty());
  EXPECT_FALSE(device.rx_reserve(88).empty());
  device.rx_cancel();
}

TEST_F(NetDeviceTest, StarvedReservationIsRemembered) {
  activate();
  rx.chain().writable(100).submit();
  EXPECT_TRUE(device.rx_reserve(1000).empty());
  EXPECT_TRUE(loop.turn());
  EXPECT_EQ(rx.available_event(), 1) << "armed at the buffers already seen";
  EXPECT_EQ(sink.rx_space, 0U);
  rx.chain().writable(1000).submit();
  kick(NetDevice::kReceiveQueue);
  EXPECT_EQ(sink.rx_space, 1U);
  EXPECT_EQ(iov_bytes(device.rx_reserve(1000)), 1000U);
  device.rx_cancel();
  kick(NetDevice::kReceiveQueue);
  EXPECT_EQ(sink.rx_space, 1U) << "nobody waits any more";
}

TEST_F(NetDeviceTest, BuffersThatCameWithoutAKickAreFoundBeforeSleeping) {
  activate();
  EXPECT_TRUE(device.rx_reserve(10).empty());
  rx.chain().writable(100).submit();
  EXPECT_FALSE(loop.turn());
  EXPECT_EQ(sink.rx_space, 1U);
}

TEST_F(NetDeviceTest, ResetForgetsWhatWasNotPublished) {
  activate();
  rx.chain().writable(100).submit();
  ASSERT_FALSE(device.rx_reserve(10).empty());
  device.rx_commit({.bytes = 10, .vnet = {}});
  device.reset();
  EXPECT_EQ(device.rx_queued(), 0U);
  EXPECT_EQ(device.rx_publish(), 0U);
  EXPECT_TRUE(device.rx_reserve(10).empty());
  EXPECT_FALSE(device.offloads().rx_csum);
  EXPECT_TRUE(loop.turn());
}

}  // namespace
}  // namespace glassbox::virtio
