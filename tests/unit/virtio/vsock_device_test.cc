#include "vmm/virtio/vsock_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <string>

#include "tests/unit/virtio/driver_queue.h"
#include "tests/unit/virtio/fake_transport.h"
#include "tests/unit/virtio/fake_vm.h"
#include "tests/unit/virtio/test_loop.h"
#include "vmm/virtio/unix_socket.h"
#include "vmm/virtio/vsock_handshake.h"

namespace glassbox::virtio {
namespace {

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

TEST(ConnectLine, Parses) {
  EXPECT_EQ(parse_connect_line("CONNECT 1024"), 1024U);
  EXPECT_EQ(parse_connect_line("CONNECT 4294967295"), 4294967295U);
  for (const char* bad : {"", "CONNECT", "CONNECT ", "CONNECT x", "CONNECT 1 ", "CONNECT -1", "connect 1",
                          "CONNECT 4294967296", "CONNECT 1\r"})
    EXPECT_FALSE(parse_connect_line(bad)) << bad;
}

TEST_F(VsockDeviceTest, ConnectsAndCarriesDataBothWays) {
  activate();
  const UniqueFd fd = open();
  say(fd, "to the guest");
  EXPECT_EQ(receive(Op::kData)->payload, "to the guest");
  send(Op::kData, "to the host");
  EXPECT_EQ(wait_to_hear(fd), "to the host");
}

TEST_F(VsockDeviceTest, DataRightBehindTheConnectLineIsNotLost) {
  activate();
  const UniqueFd fd = client();
  say(fd, "CONNECT 1024\nearly");
  host_port = receive(Op::kRequest)->header.src_port;
  guest_port = 1024;
  EXPECT_FALSE(receive_now()) << "nothing before the guest has answered";
  send(Op::kResponse);
  EXPECT_EQ(receive(Op::kData)->payload, "early");
}

TEST_F(VsockDeviceTest, ConnectLineInPieces) {
  activate();
  const UniqueFd fd = client();
  for (const char* piece : {"CONN", "ECT 10", "24"}) {
    say(fd, piece);
    EXPECT_FALSE(receive_now());
  }
  say(fd, "\n");
  EXPECT_TRUE(receive(Op::kRequest));
}

TEST_F(VsockDeviceTest, BadConnectLineCloses) {
  activate();
  for (const char* bad :
       {"HELLO\n", "CONNECT 99999999999\n", "CONNECT 00000000000000000000000000000000001\n"}) {
    const UniqueFd fd = client();
    say(fd, bad);
    EXPECT_EQ(wait_to_hear(fd), "");
    EXPECT_TRUE(ended);
  }
}

TEST_F(VsockDeviceTest, RefusedByTheGuestCloses) {
  activate();
  const UniqueFd fd = client();
  say(fd, "CONNECT 9\n");
  host_port = receive(Op::kRequest)->header.src_port;
  guest_port = 9;
  send(Op::kReset);
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, NoDriverYetCloses) {
  const UniqueFd fd = client();
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
}

TEST_F(VsockDeviceTest, HostKeepsToTheGuestsCredit) {
  activate(32);
  const UniqueFd fd = open();
  const std::string data(40000, 'd');
  say(fd, data);
  std::size_t got = 0;
  bool asked = false;
  while (auto packet = receive_now()) {
    if (packet->header.op == static_cast<std::uint16_t>(Op::kCreditRequest)) asked = true;
    got += packet->payload.size();
  }
  EXPECT_EQ(got, kGuestBuffer) << "as much as the guest said it has room for";
  EXPECT_TRUE(asked) << "and then asks for more, once";
  consumed = 5000;
  send(Op::kCreditUpdate);
  while (auto packet = receive_now())
    got += packet->payload.size();
  EXPECT_EQ(got, kGuestBuffer + 5000U);
  while (got < data.size()) {
    consumed = static_cast<std::uint32_t>(got);
    send(Op::kCreditUpdate);
    const std::size_t before = got;
    while (auto packet = receive_now())
      got += packet->payload.size();
    ASSERT_GT(got, before);
  }
  EXPECT_EQ(got, data.size());
}

TEST_F(VsockDeviceTest, GuestWithoutReceiveBuffersStallsNothingElse) {
  activate(1);
  const UniqueFd fd = client();
  say(fd, "CONNECT 1024\n");
  for (int i = 0; i < 4; ++i)
    loop.turn();
  const auto used = rx.take_used();
  ASSERT_TRUE(used);
  host_port = 1U << 30;
  guest_port = 1024;
  send(Op::kResponse);
  EXPECT_EQ(wait_to_hear(fd), "OK 1073741824\n");
  say(fd, "stalled");
  for (int i = 0; i < 4; ++i)
    loop.turn();
  EXPECT_TRUE(loop.turn()) << "no buffers, no spinning";
  send(Op::kData, "still heard");
  EXPECT_EQ(wait_to_hear(fd), "still heard");
  give_buffers(1);
  EXPECT_EQ(receive(Op::kData)->payload, "stalled");
}

TEST_F(VsockDeviceTest, SlowReaderLosesNothingAndBoundsTheGuest) {
  activate();
  const UniqueFd fd = open();
  // The guest sends as long as it has credit; the process reads nothing.
  std::string sent;
  std::uint32_t forwarded = 0;
  const auto room = [&] {
    return vsock::kBufferBytes - (static_cast<std::uint32_t>(sent.size()) - forwarded);
  };
  const auto note_credit = [&] {
    while (auto packet = receive_now())
      forwarded = packet->header.fwd_cnt;
  };
  for (;;) {
    if (room() < 4096) note_credit();
    if (room() < 4096) break;
    std::string chunk(4096, static_cast<char>('a' + sent.size() / 4096 % 26));
    send(Op::kData, chunk);
    sent += chunk;
  }
  EXPECT_GT(sent.size(), vsock::kBufferBytes) << "the ring, and what the socket took";
  EXPECT_TRUE(loop.turn()) << "and now it sleeps";
  std::string heard;
  while (heard.size() < sent.size()) {
    heard += wait_to_hear(fd);
    ASSERT_FALSE(ended);
  }
  EXPECT_EQ(heard, sent);
  note_credit();
  EXPECT_GT(room(), vsock::kBufferBytes / 2) << "the guest has been given its credit back";
}

TEST_F(VsockDeviceTest, MoreThanItsCreditResetsTheGuest) {
  activate();
  const UniqueFd fd = open();
  std::optional<Packet> last;
  for (int i = 0; i < 400 && !last; ++i) {  // 1.6 MB, no reader, no regard for credit
    send(Op::kData, std::string(4096, 'x'));
    while (auto packet = receive_now())
      if (packet->header.op == static_cast<std::uint16_t>(Op::kReset)) last = packet;
  }
  EXPECT_TRUE(last);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, CreditRequestIsAnswered) {
  activate();
  const UniqueFd fd = open();
  send(Op::kData, "12345");
  send(Op::kCreditRequest);
  const auto update = receive(Op::kCreditUpdate);
  EXPECT_EQ(update->header.fwd_cnt, 5U);
  EXPECT_EQ(update->header.buf_alloc, vsock::kBufferBytes);
}

TEST_F(VsockDeviceTest, ProcessShutsDownItsWriting) {
  activate();
  const UniqueFd fd = open();
  say(fd, "last words");
  ASSERT_EQ(::shutdown(fd.get(), SHUT_WR), 0);
  EXPECT_EQ(receive(Op::kData)->payload, "last words");
  EXPECT_EQ(receive(Op::kShutdown)->header.flags, vsock::kShutdownSend);
  send(Op::kData, "answer");
  EXPECT_EQ(wait_to_hear(fd), "answer");
  send(Op::kShutdown, "", vsock::kShutdownBoth);
  EXPECT_TRUE(receive(Op::kReset));
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, ProcessClosesAfterItsData) {
  activate();
  UniqueFd fd = open();
  say(fd, "fire and forget");
  fd.reset();
  EXPECT_EQ(receive(Op::kData)->payload, "fire and forget");
  EXPECT_EQ(receive(Op::kShutdown)->header.flags, vsock::kShutdownBoth);
  send(Op::kReset);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, DataForAProcessThatIsGoneDoesNotEatItsLastWords) {
  activate();
  UniqueFd fd = open();
  say(fd, "last words");
  fd.reset();
  send(Op::kData, "to nobody");  // meets EPIPE
  std::string got;
  std::uint32_t flags = 0;
  while (auto packet = receive_now()) {
    got += packet->payload;
    flags |= packet->header.flags;
    EXPECT_NE(packet->header.op, static_cast<std::uint16_t>(Op::kReset));
  }
  EXPECT_EQ(got, "last words");
  EXPECT_EQ(flags, vsock::kShutdownBoth);
}

TEST_F(VsockDeviceTest, GuestShutsDownItsSending) {
  activate();
  const UniqueFd fd = open();
  send(Op::kData, "done");
  send(Op::kShutdown, "", vsock::kShutdownSend);
  EXPECT_EQ(wait_to_hear(fd), "done");
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
  say(fd, "the other way is open");
  EXPECT_EQ(receive(Op::kData)->payload, "the other way is open");
}

TEST_F(VsockDeviceTest, GuestResetStillDeliversWhatItSent) {
  activate();
  const UniqueFd fd = open();
  send(Op::kData, "parting");
  send(Op::kReset);
  EXPECT_EQ(wait_to_hear(fd), "parting");
  EXPECT_EQ(wait_to_hear(fd), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(device->connections(), 0U);
}

TEST_F(VsockDeviceTest, GuestInitiatedReachesAListener) {
  activate();
  auto listener = listen_unix(path + "_5000");
  ASSERT_TRUE(listener);
  host_port = 5000;
  guest_port = 777;
  send(Op::kRequest);
  EXPECT_TRUE(receive(Op::kResponse));
  const UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  ASSERT_TRUE(fd);
  send(Op::kData, "from the guest");
  EXPECT_EQ(wait_to_hear(fd), "from the guest");
  say(fd, "answer");
  EXPECT_EQ(receive(Op::kData)->payload, "answer");
}

TEST_F(VsockDeviceTest, GuestInitiatedWithoutAListenerIsRefused) {
  activate();
  host_port = 5001;
  guest_port = 777;
  send(Op::kRequest);
  const auto reset = receive(Op::kReset);
  EXPECT_EQ(reset->header.src_port, 5001U);
  EXPECT_EQ(reset->header.dst_port, 777U);
}

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
