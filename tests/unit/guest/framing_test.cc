#include "guest/framing.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "vmm/base/unique_fd.h"

namespace glassbox::protocol {
namespace {

TEST(Framing, MessagesSurviveAnyDivisionOfTheStream) {
  std::string bytes;
  append_message(bytes, MessageType::kStdout, "hello");
  append_message(bytes, MessageType::kTraceEnd, "");
  append_message(bytes, MessageType::kStderr, std::string(kMaxPayload, 'x'));
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, bytes.size()}) {
    MessageDecoder decoder;
    std::vector<Message> messages;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      decoder.feed(std::string_view(bytes).substr(at, step));
      for (;;) {
        auto message = decoder.next();
        ASSERT_TRUE(message);
        if (!*message) break;
        messages.push_back(**message);
      }
    }
    ASSERT_EQ(messages.size(), 3U);
    EXPECT_EQ(messages[0].type, MessageType::kStdout);
    EXPECT_EQ(messages[0].payload, "hello");
    EXPECT_EQ(messages[1].type, MessageType::kTraceEnd);
    EXPECT_TRUE(messages[1].payload.empty());
    EXPECT_EQ(messages[2].payload.size(), kMaxPayload);
  }
}

TEST(Framing, TooLongAMessageIsAnErrorBeforeItsBytesCome) {
  const MessageHeader header{static_cast<std::uint32_t>(MessageType::kStdout), kMaxPayload + 1};
  MessageDecoder decoder;
  decoder.feed(as_payload(header));
  EXPECT_FALSE(decoder.next());
}

TEST(Framing, StreamIsDividedAtTheLimit) {
  std::string bytes;
  append_stream(bytes, MessageType::kStdin, std::string(kMaxPayload + 10, 'y'));
  EXPECT_EQ(bytes.size(), 2 * sizeof(MessageHeader) + kMaxPayload + 10);
}

TEST(Framing, PayloadOfAnotherSizeIsRejected) {
  EXPECT_FALSE(from_payload<std::uint32_t>("abc"));
  EXPECT_FALSE(from_payload<std::uint32_t>("abcde"));
  EXPECT_TRUE(from_payload<std::uint32_t>("abcd"));
}

TEST(Framing, BlockingReceiveReportsTheEndOfTheStream) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  UniqueFd a(fds[0]);
  const UniqueFd b(fds[1]);
  ASSERT_TRUE(send_message(a.get(), MessageType::kTraceReady, "x"));
  a.reset();
  const auto first = receive_message(b.get());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->payload, "x");
  EXPECT_FALSE(receive_message(b.get()));
}

}  // namespace
}  // namespace glassbox::protocol
