// Frames of the guest that nobody waits for: they bring no kick, and are found all the same.
#include "tests/unit/vmm/virtio/net_device_fixture.h"

namespace glassbox::virtio {
namespace {

class IdleAnswer : public NetDeviceTest {
 protected:
  // A frame for the driver whose answer nobody waits for, and the loop asleep after it.
  void ask(unsigned frames = 1) {
    for (unsigned i = 0; i < frames; ++i) {
      rx.chain().writable(1526).submit();
      fill(device.rx_reserve(4), "syn!");
      device.rx_commit({.bytes = 4, .vnet = {}, .expects_bare_ack = true});
    }
    device.rx_publish();
    EXPECT_TRUE(loop.turn());
  }
  // Whether a driver that makes one more frame available has to kick (2.7.10).
  bool next_needs_kick() const { return tx.available_event() == tx.available_index(); }
  void answer(const std::string& frame) { tx.chain().readable(header_bytes() + frame).submit(); }
};

TEST_F(IdleAnswer, TheKickIsThatOfTheFrameBehind) {
  activate();
  EXPECT_TRUE(next_needs_kick());
  ask();
  EXPECT_FALSE(next_needs_kick());
  answer("ack");
  EXPECT_TRUE(next_needs_kick());
  answer("request");
  kick(NetDevice::kTransmitQueue);
  EXPECT_EQ(sink.frames, (std::vector<std::string>{"ack", "request"}));
  EXPECT_TRUE(next_needs_kick()) << "only once";
}

TEST_F(IdleAnswer, WithoutAFrameBehindItIsFoundInTime) {
  activate();
  ask();
  answer("ack");
  EXPECT_TRUE(loop.turn_until([&] { return !sink.frames.empty(); }));
  loop.turn();
  EXPECT_TRUE(next_needs_kick());
}

TEST_F(IdleAnswer, OneThatNeverComesIsGivenUp) {
  activate();
  ask();
  EXPECT_TRUE(loop.bounded());
  loop.pass(NetDevice::kAnswerNs - 1);
  loop.turn();
  EXPECT_FALSE(next_needs_kick());
  loop.pass(1);
  loop.turn();
  EXPECT_TRUE(next_needs_kick());
}

// The host's socket, say: the loop is awake, and there it is.
TEST_F(IdleAnswer, WhateverWakesTheLoopFindsIt) {
  activate();
  ask();
  answer("ack");
  EXPECT_FALSE(loop.turn()) << "not to sleep with a frame there";
  EXPECT_EQ(sink.frames.size(), 1U);
}

TEST_F(IdleAnswer, ManyAtOnceAreSleptPastTogetherUpToABound) {
  activate();
  ask(3);
  EXPECT_EQ(tx.available_event(), tx.available_index() + 3);
  for (int i = 0; i < 3; ++i)
    answer("ack");
  EXPECT_TRUE(next_needs_kick());
  kick(NetDevice::kTransmitQueue);
  ask(NetDevice::kIdleAnswers + 5);
  EXPECT_EQ(tx.available_event(), tx.available_index() + NetDevice::kIdleAnswers);
}

TEST_F(IdleAnswer, AResetForgetsIt) {
  activate();
  rx.chain().writable(1526).submit();
  fill(device.rx_reserve(4), "syn!");
  device.rx_commit({.bytes = 4, .vnet = {}, .expects_bare_ack = true});
  device.reset();
  activate();
  EXPECT_TRUE(next_needs_kick());
  EXPECT_FALSE(loop.bounded());
}

TEST_F(IdleAnswer, WithoutEventIdxEveryFrameKicks) {
  activate(kAll & ~kFeatureEventIdx);
  ask();
  EXPECT_FALSE(tx.no_notify());
  EXPECT_FALSE(loop.bounded());
}

}  // namespace
}  // namespace glassbox::virtio
