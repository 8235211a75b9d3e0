#include "tools/trace/text/text.h"

#include <gtest/gtest.h>

namespace glassbox::trace {
namespace {

TEST(Text, TimesHaveThreeDigits) {
  EXPECT_EQ(format_time(8'510'000), "8.51 ms");
  EXPECT_EQ(format_time(71'000), "71.0 us");
  EXPECT_EQ(format_time(999'700), "1.00 ms");
  EXPECT_EQ(format_time(0), "0.00 us");
  EXPECT_EQ(format_time({}), "-");
}

TEST(Text, SignedTimesAlwaysHaveASign) {
  EXPECT_EQ(format_signed_time(71'000), "+71.0 us");
  EXPECT_EQ(format_signed_time(-8'510'000), "-8.51 ms");
  EXPECT_EQ(format_signed_time(0), "+0.00 us");
}

TEST(Text, SharesArePercentWithOneDigit) {
  EXPECT_EQ(format_share(0.1234), "12.3 %");
  EXPECT_EQ(format_share(1), "100.0 %");
  EXPECT_EQ(format_share({}), "-");
}

TEST(Text, OnlyPrintableAsciiPasses) {
  EXPECT_EQ(printable("a\x1b[2J b\n\xc3\xa4~"), "a?[2J b???~");
}

TEST(Text, TimesBeyond64BitsAreClamped) {
  EXPECT_EQ(whole_ns(1.9), 1);
  EXPECT_EQ(whole_ns(-1e30), -9'000'000'000'000'000'000);
  EXPECT_EQ(whole_ns(1e30), 9'000'000'000'000'000'000);
}

}  // namespace
}  // namespace glassbox::trace
