// A connection's life, in both directions, and its credit.
#include "tests/unit/vmm/virtio/vsock_fixture.h"

namespace glassbox::virtio {
namespace {

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

TEST_F(VsockDeviceTest, CreditIsAskedForEachTimeItHasRunOut) {
  activate();
  const UniqueFd fd = open();
  say(fd, std::string(3 * kGuestBuffer, 'd'));
  for (int round = 0; round < 2; ++round) {
    std::uint32_t got = 0;
    while (got < kGuestBuffer)
      got += receive(Op::kData)->header.len;
    EXPECT_EQ(got, kGuestBuffer);
    EXPECT_TRUE(receive(Op::kCreditRequest)) << round;
    EXPECT_FALSE(receive_now()) << "once";
    consumed += got;
    send(Op::kCreditUpdate);
  }
}

TEST_F(VsockDeviceTest, AProcessThatIsGoneIsNoNewsBeforeItsDataHasCome) {
  activate();
  UniqueFd fd = open();
  say(fd, std::string(kGuestBuffer + 1, 'd'));
  fd.reset();
  for (std::uint32_t got = 0; got < kGuestBuffer;)
    got += receive(Op::kData)->header.len;
  EXPECT_TRUE(receive(Op::kCreditRequest));
  EXPECT_FALSE(receive_now());
  consumed += kGuestBuffer;
  send(Op::kCreditUpdate);
  EXPECT_EQ(receive(Op::kData)->header.len, 1U);
  EXPECT_EQ(receive(Op::kShutdown)->header.flags, vsock::kShutdownBoth);
}

TEST_F(VsockDeviceTest, APortThatTheGuestUsesIsNotGivenOutAgain) {
  activate();
  const UniqueFd first = open();
  const std::uint32_t next = host_port + 1;
  auto listener = listen_unix(path + "_" + std::to_string(next));
  ASSERT_TRUE(listener);
  host_port = next;  // between the guest's port 1024 and the one that would be given out next
  send(Op::kRequest);
  EXPECT_TRUE(receive(Op::kResponse));
  const UniqueFd second = open();
  EXPECT_EQ(host_port, next + 1);
  EXPECT_EQ(device->connections(), 3U);
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

}  // namespace
}  // namespace glassbox::virtio
