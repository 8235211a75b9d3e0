#include "tools/bench/spec.h"

#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

TEST(ParseServer, TakesItsThreeForms) {
  EXPECT_EQ(parse_server("blocking")->kind, ServerKind::kBlocking);
  const auto poll = parse_server("poll:40");
  ASSERT_TRUE(poll.has_value());
  EXPECT_EQ(poll->kind, ServerKind::kPoll);
  EXPECT_EQ(poll->poll_ms, 40u);
  const auto external = parse_server("external:7777");
  ASSERT_TRUE(external.has_value());
  EXPECT_EQ(external->kind, ServerKind::kExternal);
  EXPECT_EQ(external->external_port, 7777);
  EXPECT_FALSE(external->ipv6);
}

TEST(ParseServer, AnExternalOneMayNameItsLoopback) {
  const auto six = parse_server("external:[::1]:7777");
  ASSERT_TRUE(six.has_value());
  EXPECT_EQ(six->kind, ServerKind::kExternal);
  EXPECT_EQ(six->external_port, 7777);
  EXPECT_TRUE(six->ipv6);
  EXPECT_NE(describe(*six).find("over IPv6"), std::string::npos);
  const auto four = parse_server("external:127.0.0.1:7777");
  ASSERT_TRUE(four.has_value());
  EXPECT_EQ(four->external_port, 7777);
  EXPECT_FALSE(four->ipv6);
  EXPECT_EQ(name(*four), "external:7777");
}

TEST(ParseServer, GivesBackItsName) {
  for (const char* text : {"blocking", "poll:1", "external:65535", "external:[::1]:80"})
    EXPECT_EQ(name(*parse_server(text)), text);
}

TEST(ParseServer, RefusesTheRestAndSaysWhy) {
  for (const char* text :
       {"", "poll", "poll:", "poll:0", "poll:-1", "poll:4x", "poll:60001", "poll:99999999999", "external:0",
        "external:65536", "external:http", "external:[::1]", "external:[::1]:0", "external:::1:7",
        "external:[::2]:7", "external:[127.0.0.1]:7", "external:192.0.2.1:7", "Blocking", "blocking "}) {
    const auto server = parse_server(text);
    ASSERT_FALSE(server.has_value()) << text;
    EXPECT_NE(server.error().message.find("--server"), std::string::npos) << server.error().message;
  }
}

TEST(ParseNames, RoundTrip) {
  EXPECT_EQ(name(*parse_workload("fork")), "fork");
  EXPECT_EQ(name(*parse_workload("single")), "single");
  EXPECT_EQ(name(*parse_stack("glassbox")), "glassbox");
  EXPECT_EQ(name(*parse_stack("loopback")), "loopback");
  EXPECT_FALSE(parse_workload("forks").has_value());
  EXPECT_FALSE(parse_stack("qemu").has_value());
}

TEST(Check, RefusesWhatCannotBeMeasured) {
  EXPECT_TRUE(check({}).has_value());
  EXPECT_FALSE(check({.cycles = 0}).has_value());
  EXPECT_TRUE(check({.cycles = kMaxCycles}).has_value());
  EXPECT_FALSE(check({.cycles = kMaxCycles + 1}).has_value());
  EXPECT_FALSE(check({.stack = StackKind::kLoopback, .trace = true}).has_value());
  EXPECT_FALSE(check({.keep_trace = "t"}).has_value());
  EXPECT_TRUE(check({.trace = true, .keep_trace = "t"}).has_value());
  EXPECT_FALSE(check({.trace = true, .keep_trace = "-"}).has_value());
  EXPECT_FALSE(check({.server = {ServerKind::kExternal, 0, 7}, .port = 8}).has_value());
}

}  // namespace
}  // namespace glassbox::bench
