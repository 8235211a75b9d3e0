// What a hostile guest may send, and what it gets.
#include "tests/unit/vmm/virtio/vsock_fixture.h"

namespace glassbox::virtio {
namespace {

TEST_F(VsockDeviceTest, HostilePackets) {
  activate();
  const UniqueFd fd = open();
  const std::uint32_t host = host_port;
  // Unknown connection: a reset. A reset for an unknown connection: silence.
  host_port = 12;
  send(Op::kData, "?");
  EXPECT_EQ(receive(Op::kReset)->header.src_port, 12U);
  send(Op::kReset);
  EXPECT_FALSE(receive_now());
  // Not from this guest, not to this host: dropped.
  send({.src_cid = 99, .src_port = 1024, .dst_port = host, .op = static_cast<std::uint16_t>(Op::kReset)});
  send({.dst_cid = 99, .src_port = 1024, .dst_port = host, .op = static_cast<std::uint16_t>(Op::kReset)});
  EXPECT_EQ(device->connections(), 1U);
  // A length that the chain does not have.
  send({.src_port = 1024, .dst_port = host, .len = 100000, .op = static_cast<std::uint16_t>(Op::kData)}, "x");
  EXPECT_TRUE(receive(Op::kReset));
  // Shorter than a header.
  tx.chain().readable("short").submit();
  device->on_kick(VsockDevice::kTransmitQueue);
  loop.turn();
  EXPECT_FALSE(transport.broken);
  // Not a stream.
  send({.src_port = 1, .dst_port = 2, .type = 7, .op = static_cast<std::uint16_t>(Op::kRequest)});
  EXPECT_TRUE(receive(Op::kReset));
  // An operation that there is not.
  host_port = host;
  send(static_cast<Op>(77));
  EXPECT_TRUE(receive(Op::kReset));
  EXPECT_EQ(device->connections(), 0U);
}

// The guest is done with a connection whose process has yet to read what it sent; then it speaks on it again.
struct VsockPortUsedAgain : VsockDeviceTest, testing::WithParamInterface<int> {};

TEST_P(VsockPortUsedAgain, BehindAResetSpoilsNothing) {
  activate();
  const UniqueFd fd = open();
  std::string sent;
  for (int i = 0; i < 64; ++i) {  // its whole credit, more than a socket takes
    sent += std::string(kBufferBytes, static_cast<char>('a' + i % 26));
    send(Op::kData, sent.substr(sent.size() - kBufferBytes));
  }
  while (receive_now()) {
  }
  send(Op::kReset);
  ASSERT_EQ(device->connections(), 1U) << "it waits for its reader";
  send(static_cast<Op>(GetParam()), "x");
  const auto answer = receive_now();
  ASSERT_TRUE(answer) << "there is no such connection for the guest";
  EXPECT_EQ(answer->header.op, static_cast<std::uint16_t>(Op::kReset));
  std::string heard;
  while (!ended)
    heard += wait_to_hear(fd);
  EXPECT_TRUE(heard == sent) << heard.size() << " bytes of " << sent.size();
  EXPECT_EQ(device->connections(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Operations, VsockPortUsedAgain,
                         testing::Values(static_cast<int>(Op::kRequest), static_cast<int>(Op::kResponse),
                                         static_cast<int>(Op::kShutdown), static_cast<int>(Op::kData), 77));

TEST_F(VsockDeviceTest, CreditThatCannotBeIsNone) {
  activate();
  const UniqueFd fd = open();
  consumed = 0x8000'0000;  // more than was ever sent
  send(Op::kCreditUpdate);
  say(fd, "data");
  while (auto packet = receive_now())
    EXPECT_TRUE(packet->payload.empty());
}

TEST_F(VsockDeviceTest, ResetsForNobodyAreBounded) {
  activate(0);
  host_port = 12;
  for (std::uint32_t i = 0; i < 3 * kSize; ++i) {
    guest_port = i;
    if (tx.available_index() - tx.used_index() >= kSize) break;  // it stopped taking them: so do we
    send(Op::kData, "?");
  }
  EXPECT_EQ(tx.used_index(), VsockDevice::kMaxResets);
  EXPECT_TRUE(loop.turn()) << "and sleeps until there are buffers";
  give_buffers(60);
  std::size_t resets = 0;
  device->on_kick(VsockDevice::kReceiveQueue);
  while (receive_now())
    ++resets;
  EXPECT_EQ(resets, tx.available_index()) << "then answers every one";
}

TEST_F(VsockDeviceTest, TinyReceiveBufferAsksForAReset) {
  activate(0);
  rx.chain().writable(sizeof(Header)).submit();
  const UniqueFd fd = client();
  say(fd, "CONNECT 1024\n");
  for (int i = 0; i < 4; ++i)
    loop.turn();
  EXPECT_TRUE(transport.broken);
}

TEST_F(VsockDeviceTest, DeviceResetClosesEverything) {
  activate();
  const UniqueFd fd = open();
  device->reset();
  loop.turn();
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, FullTableRefusesAndZombiesMakeWay) {
  activate(40);
  std::vector<UniqueFd> sockets;
  for (std::size_t i = 0; i < VsockDevice::kMaxConnections; ++i)
    sockets.push_back(open());
  const UniqueFd refused = client();
  say(refused, "CONNECT 1024\n");
  EXPECT_EQ(wait_to_hear(refused), "");
  EXPECT_TRUE(ended);
  sockets.pop_back();  // the guest is told and never confirms
  EXPECT_TRUE(receive(Op::kShutdown));
  const UniqueFd late = open();
  EXPECT_EQ(device->connections(), VsockDevice::kMaxConnections);
}

}  // namespace
}  // namespace glassbox::virtio
