#include "tools/bench/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;

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

TEST(ParseNames, AreThoseOfTheLists) {
  EXPECT_EQ(*parse_crr_workload("fork"), "crr-fork");
  EXPECT_EQ(*parse_crr_workload("single"), "crr");
  for (const char* name : {"fork", "single"}) {
    Spec spec = crr_defaults();
    spec.workloads = {*parse_crr_workload(name)};
    EXPECT_EQ(crr_workload_name(spec), name);
  }
  EXPECT_EQ(*parse_crr_stack("glassbox"), "glassbox");
  EXPECT_EQ(*parse_crr_stack("loopback"), "loopback");
  EXPECT_FALSE(parse_crr_workload("forks").has_value());
  EXPECT_FALSE(parse_crr_stack("qemu").has_value());
}

Status check_with(const std::function<void(Spec&)>& change) {
  Spec spec = crr_defaults();
  change(spec);
  return check_crr(spec);
}

TEST(Check, RefusesWhatCannotBeMeasured) {
  EXPECT_TRUE(check_crr(crr_defaults()).has_value());
  EXPECT_FALSE(check_with([](Spec& spec) { spec.cycles = 0; }).has_value());
  EXPECT_TRUE(check_with([](Spec& spec) { spec.cycles = kMaxCycles; }).has_value());
  EXPECT_FALSE(check_with([](Spec& spec) { spec.cycles = kMaxCycles + 1; }).has_value());
  EXPECT_FALSE(check_with([](Spec& spec) {
                 spec.stacks = {"loopback"};
                 spec.trace = true;
               }).has_value());
  EXPECT_FALSE(check_with([](Spec& spec) { spec.keep_trace = "t"; }).has_value());
  const auto keep = [](const char* path) {
    return [path](Spec& spec) {
      spec.trace = true;
      spec.keep_trace = path;
    };
  };
  EXPECT_TRUE(check_with(keep("t")).has_value());
  EXPECT_FALSE(check_with(keep("-")).has_value());
  EXPECT_FALSE(check_with([](Spec& spec) {
                 spec.server = {ServerKind::kExternal, 0, 7};
                 spec.port = 8;
               }).has_value());
}

TEST(CheckCompare, SaysWhatIsWrong) {
  Spec spec;
  EXPECT_FALSE(check_compare(spec).has_value());
  spec.stacks = {"loopback"};
  spec.workloads = {"rr"};
  EXPECT_TRUE(check_compare(spec).has_value());
  spec.rounds = 0;
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--rounds 0"));
  spec.rounds = 8;
  spec.cycles = 2;  // fewer than flows, which only connect-rate has
  EXPECT_TRUE(check_compare(spec).has_value());
  spec.workloads = {"connect-rate"};
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--flows 4"));
  spec.cycles = 150;
  spec.flows = {1, 4, 4};
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--flows 4: named twice"));
  spec.flows = {1};
  spec.vcpus = 0;
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--vcpus 0"));
  spec.vcpus = 1;
  spec.workloads = {"boot"};
  EXPECT_THAT(check_compare(spec).error().message,
              HasSubstr("boot is of"));  // loopback has nothing that boots
  spec.stacks = {"loopback", "guest-loopback", "glassbox"};
  EXPECT_TRUE(check_compare(spec).has_value());
  spec.rate = 5;
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--rate"));
  spec.rate = 0;
  spec.stacks = {"bare", "loopback"};
  spec.workloads = {"idle-flows"};
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("none of the named stacks carries it"));
  spec.stacks = {"bare", "glassbox-netns"};
  EXPECT_TRUE(check_compare(spec).has_value());
  spec.mtu = 100;
  EXPECT_THAT(check_compare(spec).error().message, HasSubstr("--mtu 100"));
}

}  // namespace
}  // namespace glassbox::bench
