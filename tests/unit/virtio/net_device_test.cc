#include "vmm/virtio/net_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/virtio/driver_queue.h"
#include "tests/unit/virtio/fake_transport.h"
#include "tests/unit/virtio/fake_vm.h"
#include "tests/unit/virtio/test_loop.h"
#include "vmm/virtio/iovec.h"
#include "vmm/virtio/net_format.h"

namespace glassbox::virtio {
namespace {

using fake::DriverQueue;
namespace format = net_format;

std::string header_bytes(const format::Header& header = {}) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

format::Header header_of(const std::string& bytes) {
  format::Header header;
  EXPECT_GE(bytes.size(), sizeof(header));
  copy_from(std::array{iovec{const_cast<char*>(bytes.data()), bytes.size()}},
            std::as_writable_bytes(std::span(&header, 1)));
  return header;
}

class RecordingSink final : public net::FrameSink {
 public:
  void on_guest_frame(std::span<const iovec> frame, const net::VnetHeader& vnet, std::uint16_t) override {
    std::string bytes(total_bytes(frame), '\0');
    copy_from(frame, std::as_writable_bytes(std::span(bytes)));
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
    const Queue::Options options{.event_idx = (features & kFeatureEventIdx) != 0,
                                 .indirect = (features & kFeatureIndirect) != 0};
    ASSERT_TRUE(transport.queues[0].enable(vm.memory(), rx.layout(), options));
    ASSERT_TRUE(transport.queues[1].enable(vm.memory(), tx.layout(), options));
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
  void fill(std::span<const iovec> room, const std::string& bytes) {
    ASSERT_EQ(copy_to(room, std::as_bytes(std::span(bytes))), bytes.size());
  }

  fake::FakeVm vm;
  fake::TestLoop loop;
  fake::FakeTransport transport;
  DriverQueue rx{vm.memory(), kSize, 1};
  DriverQueue tx{vm.memory(), kSize, 2};
  RecordingSink sink;
  NetDevice device{loop, {.mac = {1, 2, 3, 4, 5, 6}, .mtu = 1500}};
};

TEST_F(NetDeviceTest, FramesReachTheSinkWithoutTheirHeader) {
  activate();
  const format::Header header{.vnet = {.flags = 1, .gso_type = 1, .gso_size = 1448, .csum_start = 34}};
  tx.chain().readable(header_bytes(header)).readable("frame one").submit();
  tx.chain().readable(header_bytes() + "frame").readable(" two").submit();  // any layout
  const std::string split = header_bytes() + "three";
  tx.chain().readable(split.substr(0, 5)).readable(split.substr(5, 6)).readable(split.substr(11)).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(sink.frames, (std::vector<std::string>{"frame one", "frame two", "three"}));
  EXPECT_EQ(sink.headers[0].gso_size, 1448);
  EXPECT_EQ(sink.headers[0].csum_start, 34);
  EXPECT_EQ(sink.bursts, 1U);
  EXPECT_TRUE(loop.turn_until([&] { return tx.used_index() == 3; }));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(tx.take_used()->length, 0U);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U);
}

TEST_F(NetDeviceTest, TheAnswerBringsTheNewsOfWhatWasSent) {
  activate();
  rx.chain().writable(1526).submit();
  tx.chain().readable(header_bytes() + "question").submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(tx.used_index(), 0) << "held back";
  fill(device.rx_reserve(6), "answer");
  device.rx_commit({.bytes = 6, .vnet = {}});
  device.rx_publish();
  EXPECT_EQ(tx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 0U);
  // A driver that has looked asks for the next one; another frame shows that the time has gone by.
  tx.set_used_event(1);
  tx.chain().readable(header_bytes() + "another").submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_TRUE(loop.turn_until([&] { return tx.used_index() == 2; }));
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U) << "for the other frame alone";
}

TEST_F(NetDeviceTest, ADriverThatDidNotLookIsTold) {
  activate();
  rx.chain().writable(1526).submit();
  tx.chain().readable(header_bytes() + "question").submit();
  kick(NetDevice::kTransmitQueue);
  fill(device.rx_reserve(6), "answer");
  device.rx_commit({.bytes = 6, .vnet = {}});
  device.rx_publish();
  EXPECT_TRUE(loop.turn_until([&] { return transport.interrupts[NetDevice::kTransmitQueue] == 1U; }));
}

// However much goes on meanwhile: its time is not given to it anew.
TEST_F(NetDeviceTest, ADriverThatNeverLooksIsToldThoughFramesKeepComing) {
  activate();
  int rounds = 0;
  for (; rounds < 20 && transport.interrupts[NetDevice::kTransmitQueue] == 0; ++rounds) {
    rx.chain().writable(1526).submit();
    tx.chain().readable(header_bytes() + "question").submit();
    kick(NetDevice::kTransmitQueue);
    fill(device.rx_reserve(6), "answer");
    device.rx_commit({.bytes = 6, .vnet = {}});
    device.rx_publish();
    loop.pass(NetDevice::kHoldNs / 2);
    loop.turn();
  }
  EXPECT_LE(rounds, 3) << "two halves of the time, and the turn that sees them gone";
}

TEST_F(NetDeviceTest, WhatNobodyWaitsForIsPublishedWithoutAnInterrupt) {
  activate();
  for (int i = 0; i < 3; ++i)
    rx.chain().writable(1526).submit();
  const auto publish = [&](bool awaited) {
    fill(device.rx_reserve(6), "frame.");
    device.rx_commit({.bytes = 6, .vnet = {}, .awaited = awaited});
    device.rx_publish();
  };
  publish(false);
  EXPECT_EQ(rx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 0U);
  publish(true);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U) << "of the next frame, for both";
  rx.set_used_event(2);
  publish(false);
  EXPECT_TRUE(loop.turn_until([&] { return transport.interrupts[NetDevice::kReceiveQueue] == 2U; }));
}

// A driver that asked for the next interrupt before it knew of the frame gets that one and no second.
TEST_F(NetDeviceTest, ADriverThatFoundItByItselfIsNotTold) {
  activate();
  rx.chain().writable(1526).submit();
  fill(device.rx_reserve(6), "frame.");
  device.rx_commit({.bytes = 6, .vnet = {}, .awaited = false});
  device.rx_publish();
  rx.set_used_event(1);
  EXPECT_TRUE(loop.turn());
  EXPECT_TRUE(loop.turn());
  EXPECT_FALSE(loop.bounded()) << "nothing is to come any more";
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 0U);
}

TEST_F(NetDeviceTest, WithoutEventIdxEveryFrameInterrupts) {
  activate(kAll & ~kFeatureEventIdx);
  rx.chain().writable(1526).submit();
  fill(device.rx_reserve(6), "frame.");
  device.rx_commit({.bytes = 6, .vnet = {}, .awaited = false});
  device.rx_publish();
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U);
}

TEST_F(NetDeviceTest, ALookFindsFramesAndArmsNothing) {
  activate();
  tx.chain().readable(header_bytes() + "first").submit();
  kick(NetDevice::kTransmitQueue);
  loop.turn();
  const std::uint16_t armed = tx.available_event();
  EXPECT_TRUE(loop.look());
  tx.chain().readable(header_bytes() + "second").submit();
  EXPECT_FALSE(loop.look());
  EXPECT_EQ(tx.available_event(), armed);
  loop.turn();
  EXPECT_EQ(sink.frames.size(), 2U);
}

TEST_F(NetDeviceTest, MuchIsNotHeldBack) {
  activate();
  for (unsigned i = 0; i < NetDevice::kHeldFrames; ++i)
    tx.chain().readable(header_bytes() + "x").submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(tx.used_index(), NetDevice::kHeldFrames);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U);
  tx.set_used_event(NetDevice::kHeldFrames);
  tx.chain().readable(header_bytes()).readable(std::string(NetDevice::kHeldBytes, 'x')).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 2U);
}

// Without EVENT_IDX nothing tells whether the driver has looked.
TEST_F(NetDeviceTest, WithoutEventIdxNothingIsHeldBack) {
  activate(kAll & ~kFeatureEventIdx);
  tx.chain().readable(header_bytes() + "x").submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(tx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U);
}

TEST_F(NetDeviceTest, FramesQueuedBeforeDriverOkNeedNoKick) {
  tx.chain().readable(header_bytes() + "early").submit();
  activate();
  EXPECT_EQ(sink.frames.size(), 1U);
}

TEST_F(NetDeviceTest, FrameThatCameWithoutAKickIsFoundBeforeSleeping) {
  activate();
  EXPECT_TRUE(loop.turn());
  tx.chain().readable(header_bytes() + "silent").submit();
  EXPECT_FALSE(loop.turn()) << "the look before sleeping must find it";
  EXPECT_EQ(sink.frames.size(), 1U);
  EXPECT_TRUE(loop.turn());
}

TEST_F(NetDeviceTest, BurstIsBoundedAndTheRestFollows) {
  activate();
  for (unsigned i = 0; i < NetDevice::kBurst + 10; ++i)
    tx.chain().readable(header_bytes() + "x").submit();
  device.on_kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(sink.frames.size(), NetDevice::kBurst);
  EXPECT_FALSE(loop.turn()) << "it must not sleep with frames waiting";
  EXPECT_EQ(sink.frames.size(), NetDevice::kBurst + 10);
}

TEST_F(NetDeviceTest, ShortAndEmptyFramesAreConsumed) {
  activate();
  tx.chain().readable("short").submit();
  tx.chain().readable(header_bytes()).submit();
  tx.chain().writable(100).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(sink.frames, std::vector<std::string>{""});
  EXPECT_TRUE(loop.turn_until([&] { return tx.used_index() == 3; }));
}

TEST_F(NetDeviceTest, BrokenQueueAsksForAReset) {
  activate();
  tx.chain().raw({~0ULL, 1, 0, 0}).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_TRUE(transport.broken);
  EXPECT_TRUE(loop.turn()) << "a broken queue must not keep the loop busy";
}

TEST_F(NetDeviceTest, ReceivesIntoOneBuffer) {
  activate();
  rx.chain().writable(1526).submit();
  const auto room = device.rx_reserve(100);
  ASSERT_EQ(total_bytes(room), 100U);
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
  ASSERT_EQ(total_bytes(room), 388U);
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
  ASSERT_EQ(total_bytes(room), 8U);
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
  EXPECT_EQ(total_bytes(device.rx_reserve(1000)), 1000U);
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

TEST_F(NetDeviceTest, SuppressedReceiveInterrupt) {
  activate();
  rx.set_used_event(5);
  for (int i = 0; i < 6; ++i)
    rx.chain().writable(100).submit();
  for (unsigned i = 1; i <= 6; ++i) {
    ASSERT_FALSE(device.rx_reserve(10).empty());
    device.rx_commit({.bytes = 10, .vnet = {}});
    device.rx_publish();
    EXPECT_EQ(transport.interrupts[0], i == 6 ? 1U : 0U);
  }
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

TEST_F(NetDeviceTest, OffloadsAreWhatTheDriverTook) {
  activate(kRingFeatures | format::kGuestCsum | format::kGuestTso4);
  EXPECT_TRUE(device.offloads().rx_csum);
  EXPECT_TRUE(device.offloads().rx_tso4);
  EXPECT_FALSE(device.offloads().rx_tso6);
}

TEST_F(NetDeviceTest, SegmentationNeedsChecksums) {
  EXPECT_FALSE(device.accepts(kRingFeatures | format::kGuestTso4));
  EXPECT_FALSE(device.accepts(kRingFeatures | format::kHostTso6));
  EXPECT_TRUE(device.accepts(kRingFeatures | format::kHostTso6 | format::kCsum));
}

TEST_F(NetDeviceTest, Configuration) {
  std::array<std::uint8_t, 16> config{};
  device.read_config(0, config);
  EXPECT_EQ(config[0], 1);
  EXPECT_EQ(config[5], 6);
  EXPECT_EQ(config[6], 1) << "link up";
  EXPECT_EQ(config[10] | (config[11] << 8), 1500);
  EXPECT_EQ(config[12], 0) << "beyond the end";
}

}  // namespace
}  // namespace glassbox::virtio
