// Which process carried the packets, and what a client may claim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/measure/client.h"
#include "tools/bench/measure/identity.h"
#include "tools/bench/stacks/native_stack.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;

Identity owner(std::string program) {
  return {42, std::move(program), {}, {}};
}

TEST(CarrierCheck, RefusesAnotherPeer) {
  const StackEntry& passt = *find_stack("qemu-passt");
  EXPECT_TRUE(check_carrier(passt, owner("/usr/bin/passt.avx2"), "").has_value());
  const Status wrong = check_carrier(passt, owner("/usr/bin/qemu-system-x86_64"), "");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().message, "/usr/bin/qemu-system-x86_64 (process 42) carries the packets, not passt");
  EXPECT_FALSE(check_carrier(passt, std::nullopt, "").has_value());
  EXPECT_TRUE(check_carrier(*find_stack("veth"), std::nullopt, "").has_value());
  EXPECT_FALSE(check_carrier(*find_stack("veth"), owner("/usr/bin/pasta"), "").has_value());
}

TEST(CarrierCheck, AnotherBuildsMonitorIsAnotherPeer) {
  const std::string self = "/proc/self/exe";
  const StackEntry& ours = *find_stack("glassbox");
  EXPECT_FALSE(check_carrier(ours, owner("/elsewhere/glassbox"), self).has_value());
  EXPECT_FALSE(check_carrier(*find_stack("bare"), owner("/elsewhere/glassbox-bench"), self).has_value());
}

TEST(CarrierCheck, ARenamedProgramGivesItselfAway) {
  EXPECT_THAT(own_version("passt", "/x/pasta", "slirp4netns version 1.2.0\n").error().message,
              HasSubstr("/x/pasta is not of package passt and calls itself \"slirp4netns version 1.2.0\""));
  EXPECT_FALSE(own_version("passt", "/x/pasta", ""));
  EXPECT_EQ(own_version("passt", "/x/pasta", "pasta 2024\nmore\n").value(),
            "pasta 2024 (not of package passt)");
}

TEST(CarrierCheck, APackagesFileIsKnownByItsSum) {
  const std::string list = "00aa  usr/bin/passt\n00bb  usr/bin/passt.avx2\n00cc  usr/share/with space\n";
  EXPECT_EQ(packaged_sum(list, "/usr/bin/passt.avx2"), "00bb");
  EXPECT_EQ(packaged_sum(list, "/usr/bin/passt"), "00aa");
  EXPECT_EQ(packaged_sum(list, "/usr/share/with space"), "00cc");
  EXPECT_EQ(packaged_sum(list, "/usr/bin/pass"), "");
  EXPECT_EQ(packaged_sum("", "/usr/bin/passt"), "");
}

TEST(SocketInode, IsFoundByBothEnds) {
  const std::string text =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:1F90 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
      "   1: 0100007F:A2C4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
  EXPECT_EQ(socket_inode(text, {kLoopback, 0xa2c4}, {kLoopback, 8080}), 222u);
  EXPECT_EQ(socket_inode(text, {kLoopback, 0xa2c4}, {kLoopback, 1}), std::nullopt);
  EXPECT_EQ(socket_inode(text, {kLoopback, 1}, {kLoopback, 8080}), std::nullopt);
}

TEST(Claims, ACacheThatAnswersAndAClockThatRunsAreRefused) {
  const Workload crr{WorkloadKind::kCrr, 1, "crr"};
  Spec spec;
  const std::vector<std::uint64_t> times(10, 1'000'000);
  EXPECT_TRUE(check_claims(crr, spec, times, 10, 10, 12'000'000));
  EXPECT_TRUE(check_claims(crr, spec, times, 10, std::nullopt, 12'000'000));
  EXPECT_THAT(check_claims(crr, spec, times, 10, 1, 12'000'000).error().message,
              HasSubstr("claims 10 cycles and the server has served 1"));
  EXPECT_THAT(check_claims(crr, spec, times, 10, 10, 9'000'000).error().message,
              HasSubstr("cannot be trusted"));
  EXPECT_FALSE(
      check_claims({WorkloadKind::kConnectRate, 2, "connect-rate 2"}, spec, {1'000'000}, 10, 10, 9'000'000));
  spec.rate = 100;  // late cycles overlap
  EXPECT_TRUE(check_claims(crr, spec, times, 10, 10, 9'000'000));
}

}  // namespace
}  // namespace glassbox::bench
