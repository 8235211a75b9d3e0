// Frames that a driver sends, and what device and driver agree on.
#include "tests/unit/vmm/virtio/net_device_fixture.h"

namespace glassbox::virtio {
namespace {

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

// The sink gets them as empty frames, which it counts like all that it drops.
TEST_F(NetDeviceTest, ShortAndEmptyFramesAreConsumedAndTold) {
  activate();
  tx.chain().readable("\xff\xff\xff\xff\xff").submit();
  tx.chain().readable(header_bytes()).submit();
  tx.chain().writable(100).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(sink.frames, (std::vector<std::string>{"", "", ""}));
  EXPECT_EQ(sink.headers[0].flags, 0) << "half a header is none";
  EXPECT_TRUE(loop.turn_until([&] { return tx.used_index() == 3; }));
}

TEST_F(NetDeviceTest, BrokenQueueAsksForAReset) {
  activate();
  tx.chain().raw({~0ULL, 1, 0, 0}).submit();
  kick(NetDevice::kTransmitQueue);
  EXPECT_TRUE(transport.broken);
  EXPECT_TRUE(loop.turn()) << "a broken queue must not keep the loop busy";
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
