// A fake guest on a vsock device: its driver, its side of the credit accounting, and processes on the host's
// socket.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <string>

#include "tests/unit/vmm/virtio/driver_queue.h"
#include "tests/unit/vmm/virtio/fake_transport.h"
#include "tests/unit/vmm/virtio/fake_vm.h"
#include "tests/unit/vmm/virtio/test_loop.h"
#include "vmm/virtio/vsock/unix_socket.h"
#include "vmm/virtio/vsock/vsock_device.h"
#include "vmm/virtio/vsock/vsock_handshake.h"

namespace glassbox::virtio {

using fake::DriverQueue;
using vsock::Header;
using vsock::Op;

constexpr std::uint64_t kGuest = 3;
constexpr std::uint32_t kGuestBuffer = 8192;  // what our fake guest buffers for a connection

struct Packet {
  Header header;
  std::string payload;
};

// The guest's side: a driver with buffers, and the credit accounting of a peer that plays by the rules.
class VsockDeviceTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kSize = 64;
  static constexpr std::uint32_t kBufferBytes = 4096;

  void SetUp() override {
    char pattern[] = "/tmp/gb-vsock-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    directory = pattern;
    path = directory + "/v";
    auto made = VsockDevice::create(loop, path, kGuest);
    ASSERT_TRUE(made) << made.error().message;
    device = std::move(*made);
  }
  void TearDown() override {
    device.reset();
    EXPECT_FALSE(std::filesystem::exists(path)) << "no socket file stays";
    std::filesystem::remove_all(directory);
  }

  void activate(int buffers = 16) {
    ASSERT_TRUE(transport.queues[0].enable(vm.memory(), rx.layout(), {.event_idx = true}));
    ASSERT_TRUE(transport.queues[1].enable(vm.memory(), tx.layout(), {.event_idx = true}));
    give_buffers(buffers);
    device->activate(transport, kRingFeatures);
    loop.turn();
  }
  void give_buffers(int count) {
    for (int i = 0; i < count; ++i)
      rx.chain().writable(sizeof(Header)).writable(kBufferBytes).submit();
  }

  // Sends a packet as the guest.
  void send(Header header, const std::string& payload = {}) {
    if (header.src_cid == 0) header.src_cid = kGuest;
    if (header.dst_cid == 0) header.dst_cid = vsock::kHostCid;
    if (header.len == 0) header.len = static_cast<std::uint32_t>(payload.size());
    header.buf_alloc = kGuestBuffer;
    header.fwd_cnt = consumed;
    auto chain = tx.chain();
    chain.readable(std::string(reinterpret_cast<const char*>(&header), sizeof(header)));
    if (!payload.empty()) chain.readable(payload);
    chain.submit();
    device->on_kick(VsockDevice::kTransmitQueue);
    loop.turn();
    while (tx.take_used()) {
    }
  }
  void send(Op op, const std::string& payload = {}, std::uint32_t flags = 0) {
    send(
        {.src_port = guest_port, .dst_port = host_port, .op = static_cast<std::uint16_t>(op), .flags = flags},
        payload);
  }

  // The next packet for the guest; its buffer goes back to the device.
  std::optional<Packet> receive() {
    std::optional<fake::UsedElement> used;
    loop.turn_until([&] { return (used = rx.take_used()).has_value(); });
    return used ? take(*used) : std::nullopt;
  }
  // As receive(), but does not wait.
  std::optional<Packet> receive_now() {
    for (int i = 0; i < 4; ++i)
      loop.turn();
    const auto used = rx.take_used();
    return used ? take(*used) : std::nullopt;
  }
  std::optional<Packet> take(const fake::UsedElement& used) {
    const std::string bytes = rx.written(used);
    Packet packet;
    std::memcpy(&packet.header, bytes.data(), sizeof(Header));
    packet.payload = bytes.substr(sizeof(Header));
    EXPECT_EQ(packet.payload.size(), packet.header.len);
    EXPECT_EQ(packet.header.src_cid, vsock::kHostCid);
    EXPECT_EQ(packet.header.dst_cid, kGuest);
    give_buffers(1);
    return packet;
  }
  std::optional<Packet> receive(Op op) {
    auto packet = receive();
    EXPECT_TRUE(packet) << "no packet";
    if (packet) {
      EXPECT_EQ(packet->header.op, static_cast<std::uint16_t>(op));
    }
    return packet;
  }

  UniqueFd client() {
    auto socket = connect_unix(path);
    EXPECT_TRUE(socket);
    return std::move(*socket);
  }
  static void say(const UniqueFd& fd, const std::string& text) {
    ASSERT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // What the process can read now; nothing at end of file or error, which set `ended`.
  std::string hear(const UniqueFd& fd) {
    std::string text(65536, '\0');
    const ssize_t n = ::recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
    ended = n == 0 || (n < 0 && errno != EAGAIN);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }
  std::string wait_to_hear(const UniqueFd& fd) {
    std::string text;
    loop.turn_until([&] {
      text = hear(fd);
      return !text.empty() || ended;
    });
    return text;
  }

  // A connection from the host to the guest's port 1024, open.
  UniqueFd open() {
    UniqueFd fd = client();
    say(fd, "CONNECT 1024\n");
    const auto request = receive(Op::kRequest);
    host_port = request->header.src_port;
    guest_port = request->header.dst_port;
    EXPECT_EQ(guest_port, 1024U);
    EXPECT_EQ(request->header.buf_alloc, vsock::kBufferBytes);
    send(Op::kResponse);
    EXPECT_EQ(wait_to_hear(fd), "OK " + std::to_string(host_port) + "\n");
    return fd;
  }

  fake::FakeVm vm;
  fake::TestLoop loop;
  fake::FakeTransport transport;
  DriverQueue rx{vm.memory(), kSize * 2, 1};
  DriverQueue tx{vm.memory(), kSize, 2};
  std::string directory;
  std::string path;
  std::unique_ptr<VsockDevice> device;
  std::uint32_t host_port = 0;
  std::uint32_t guest_port = 0;
  std::uint32_t consumed = 0;  // fwd_cnt of the fake guest
  bool ended = false;
};

}  // namespace glassbox::virtio
