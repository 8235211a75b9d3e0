// The limits on open flows and on new flows in a second, over all protocols.
#include <gtest/gtest.h>

#include "net/flow/admission.h"
#include "test_guest.h"
#include "tests/unit/net/loop/virtual_loop.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(Admission, ASecondsWorthAtOnceThenAtTheRate) {
  NatCounters counters;
  NatConfig config;
  config.max_new_flows = 100;
  Admission admission(config, counters);
  const auto admitted = [&](std::uint64_t now_ns) {
    int count = 0;
    while (admission.admit(now_ns) == RefuseReason::kNone)
      ++count;
    return count;
  };
  EXPECT_EQ(admitted(5 * kSecond), 100);
  EXPECT_EQ(admission.admit(5 * kSecond), RefuseReason::kTooManyNewFlows);
  EXPECT_EQ(admitted(5 * kSecond + kSecond / 100 - 1), 0);
  EXPECT_EQ(admitted(5 * kSecond + kSecond / 100), 1);
  EXPECT_EQ(admitted(5 * kSecond + kSecond / 2), 49);
  EXPECT_EQ(admitted(500 * kSecond), 100);  // and no more for having waited longer
}

TEST(Admission, AllOpenFlowsCountTogether) {
  NatCounters counters;
  NatConfig config;
  config.max_flows = 6;
  Admission admission(config, counters);
  counters.flows_open = 3;
  counters.udp_flows_open = 1;
  counters.echo_flows_open = 1;
  EXPECT_EQ(admission.admit(kSecond), RefuseReason::kNone);
  ++counters.flows_open;
  EXPECT_EQ(admission.admit(kSecond), RefuseReason::kTooManyFlows);
}

// The defaults admit a benchmark of short connections.
TEST(Admission, DefaultsAreOutOfTheWay) {
  NatCounters counters;
  Admission admission({}, counters);
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    ASSERT_EQ(admission.admit(kSecond + i * 60'000), RefuseReason::kNone) << i;
  }
}

std::string udp_to(std::uint16_t from, std::uint16_t to) {
  std::string udp(kUdpHeader, '\0');
  auto* u = reinterpret_cast<std::uint8_t*>(udp.data());
  store_be16(u, from);
  store_be16(u + 2, to);
  store_be16(u + 4, kUdpHeader);
  return udp;
}

TEST(NatLimits, RefusedFlowsAreToldAndCountedWhateverTheProtocol) {
  Server server([](int fd) { read_all(fd); });
  NatConfig config;
  config.allow_host_loopback = true;
  config.max_new_flows = 2;
  Bench bench(config);
  GuestTcp first(bench, server.port(), 40001);
  GuestTcp second(bench, server.port(), 40002);
  GuestTcp third(bench, server.port(), 40003);
  EXPECT_TRUE(first.connect());
  EXPECT_TRUE(second.connect());
  EXPECT_FALSE(third.connect());
  EXPECT_TRUE(third.reset_received);
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, udp_to(5000, server.port())));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->protocol, kProtocolIcmp);
  EXPECT_GE(bench.nat->counters()[RefuseReason::kTooManyNewFlows], 2U);
  EXPECT_EQ(bench.nat->counters().flows_opened, 2U);
}

TEST(NatLimits, AFlowThatEndsMakesRoom) {
  Server server([](int fd) { read_all(fd); });
  NatConfig config;
  config.allow_host_loopback = true;
  config.max_flows = 1;
  Bench bench(config);
  GuestTcp first(bench, server.port(), 40001);
  ASSERT_TRUE(first.connect());
  GuestTcp second(bench, server.port(), 40002);
  EXPECT_FALSE(second.connect());
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kTooManyFlows], 1U);
  first.send(kTcpRst);
  GuestTcp third(bench, server.port(), 40003);
  EXPECT_TRUE(third.connect());
}

}  // namespace
}  // namespace glassbox::net
