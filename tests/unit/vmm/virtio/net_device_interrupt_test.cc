// When a driver gets an interrupt for frames that were sent or received.
#include "tests/unit/vmm/virtio/net_device_fixture.h"

namespace glassbox::virtio {
namespace {

TEST_F(NetDeviceTest, TheAnswerBringsTheNewsOfWhatWasSent) {
  activate();
  rx.chain().writable(1526).submit();
  send("question");
  EXPECT_EQ(tx.used_index(), 0) << "held back";
  receive("answer");
  EXPECT_EQ(tx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 0U);
  // A driver that has looked asks for the next one; another frame shows that the time has gone by.
  tx.set_used_event(1);
  send("another");
  EXPECT_TRUE(loop.turn_until([&] { return tx.used_index() == 2; }));
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U) << "for the other frame alone";
}

TEST_F(NetDeviceTest, ADriverThatDidNotLookIsTold) {
  activate();
  rx.chain().writable(1526).submit();
  send("question");
  receive("answer");
  EXPECT_TRUE(loop.turn_until([&] { return transport.interrupts[NetDevice::kTransmitQueue] == 1U; }));
}

// However much goes on meanwhile: its time is not given to it anew.
TEST_F(NetDeviceTest, ADriverThatNeverLooksIsToldThoughFramesKeepComing) {
  activate();
  int rounds = 0;
  for (; rounds < 20 && transport.interrupts[NetDevice::kTransmitQueue] == 0; ++rounds) {
    rx.chain().writable(1526).submit();
    send("question");
    receive("answer");
    loop.pass(NetDevice::kHoldNs / 2);
    loop.turn();
  }
  EXPECT_LE(rounds, 3) << "two halves of the time, and the turn that sees them gone";
}

TEST_F(NetDeviceTest, WhatNobodyWaitsForIsPublishedWithoutAnInterrupt) {
  activate();
  for (int i = 0; i < 3; ++i)
    rx.chain().writable(1526).submit();
  receive("frame", false);
  EXPECT_EQ(rx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 0U);
  receive("frame");
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U) << "of the next frame, for both";
  rx.set_used_event(2);
  receive("frame", false);
  EXPECT_TRUE(loop.turn_until([&] { return transport.interrupts[NetDevice::kReceiveQueue] == 2U; }));
}

// A driver that asked for the next interrupt before it knew of the frame gets that one and no second.
TEST_F(NetDeviceTest, ADriverThatFoundItByItselfIsNotTold) {
  activate();
  rx.chain().writable(1526).submit();
  receive("frame", false);
  rx.set_used_event(1);
  EXPECT_TRUE(loop.turn());
  EXPECT_TRUE(loop.turn());
  EXPECT_FALSE(loop.bounded()) << "nothing is to come any more";
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 0U);
}

TEST_F(NetDeviceTest, WithoutEventIdxEveryFrameInterrupts) {
  activate(kAll & ~kFeatureEventIdx);
  rx.chain().writable(1526).submit();
  receive("frame", false);
  EXPECT_EQ(transport.interrupts[NetDevice::kReceiveQueue], 1U);
}

TEST_F(NetDeviceTest, MuchIsNotHeldBack) {
  activate();
  for (unsigned i = 0; i < NetDevice::kHeldFrames; ++i)
    send("x");
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
  send("x");
  EXPECT_EQ(tx.used_index(), 1);
  EXPECT_EQ(transport.interrupts[NetDevice::kTransmitQueue], 1U);
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

}  // namespace
}  // namespace glassbox::virtio
