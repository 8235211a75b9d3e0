#include "tools/lab/wire.h"

#include <gtest/gtest.h>

#include <string>

namespace glassbox::lab {
namespace {

Hello example() {
  Hello hello;
  hello.token = "0123456789abcdef";
  hello.terminal_mask = 5;
  hello.rows = 50;
  hello.columns = 132;
  hello.directory = "/some where";
  hello.environment = {"A=1", "EMPTY=", "NEWLINE=a\nb"};
  hello.command = {"sh", "-c", "", "with space"};
  return hello;
}

TEST(LabWire, HelloComesBackAsItWas) {
  Decoder decoder;
  decoder.feed(encode_hello(example()));
  const auto frame = decoder.next();
  ASSERT_TRUE(frame);
  ASSERT_EQ(frame->type, Type::kHello);
  const auto back = decode_hello(frame->payload);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->token, example().token);
  EXPECT_EQ(back->terminal_mask, 5u);
  EXPECT_EQ(back->rows, 50u);
  EXPECT_EQ(back->columns, 132u);
  EXPECT_EQ(back->directory, example().directory);
  EXPECT_EQ(back->environment, example().environment);
  EXPECT_EQ(back->command, example().command);
}

TEST(LabWire, EveryTruncationOfHelloIsRefused) {
  const std::string payload = encode_hello(example()).substr(kHeaderBytes);
  for (std::size_t size = 0; size < payload.size(); ++size) {
    EXPECT_FALSE(decode_hello(std::string_view(payload).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_hello(payload + "x")) << "trailing bytes";
}

TEST(LabWire, HelloWithoutACommandIsRefused) {
  Hello hello = example();
  hello.command.clear();
  EXPECT_FALSE(decode_hello(encode_hello(hello).substr(kHeaderBytes)));
}

TEST(LabWire, ListCountBeyondThePayloadIsRefused) {
  std::string payload = encode_hello(example()).substr(kHeaderBytes);
  // The environment's count follows token, three numbers and the directory.
  const std::size_t at = 4 + example().token.size() + 12 + 4 + example().directory.size();
  payload.replace(at, 4, "\xff\xff\xff\xff");
  EXPECT_FALSE(decode_hello(payload));
}

TEST(LabWire, FramesSurviveAnySplit) {
  const std::string bytes = encode_data(Stream::kStdout, std::string(300, 'x')) + encode(Type::kPing) +
                            encode_credit(Stream::kStdin, 70'000) + encode_window_size(25, 80);
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{7}, bytes.size()}) {
    Decoder decoder;
    std::vector<Frame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      decoder.feed(std::string_view(bytes).substr(at, step));
      while (auto frame = decoder.next())
        frames.push_back(*frame);
    }
    ASSERT_EQ(frames.size(), 4u) << "step " << step;
    EXPECT_EQ(stream_of(frames[0].payload), Stream::kStdout);
    EXPECT_EQ(frames[0].payload.size(), 301u);
    EXPECT_EQ(frames[1].type, Type::kPing);
    EXPECT_EQ(u32_at(frames[2].payload, 1), 70'000u);
    EXPECT_EQ(u32_at(frames[3].payload, 4), 80u);
  }
}

TEST(LabWire, AnImpossibleLengthBreaksTheDecoderForGood) {
  Decoder decoder;
  decoder.feed(std::string("\x04\xff\xff\xff", 4));
  EXPECT_FALSE(decoder.next());
  EXPECT_TRUE(decoder.broken());
  decoder.feed(encode(Type::kPing));
  EXPECT_FALSE(decoder.next());
}

TEST(LabWire, UnknownStreamsAndShortNumbersAreNothing) {
  EXPECT_FALSE(stream_of(""));
  EXPECT_FALSE(stream_of("\x04"));
  EXPECT_FALSE(stream_of("\xff"));
  EXPECT_FALSE(u32_at("abc", 0));
  EXPECT_FALSE(u32_at("abcdefg", 4));
  EXPECT_TRUE(u32_at("abcdefgh", 4));
}

}  // namespace
}  // namespace glassbox::lab
