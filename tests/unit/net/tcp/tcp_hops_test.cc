// The hop limit of a guest's SYN on the host's wire (traceroute over TCP), and what a router says of it.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/link/checksum.h"
#include "net/link/guest_link.h"
#include "tests/unit/net/private_net.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr Ipv4 kFar = ipv4(198, 18, 7, 9);
constexpr std::uint16_t kPort = 4321;

// All packets of the namespace.
class Wire {
 public:
  Wire() : fd_(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP))) {}
  // The next TCP packet for the port, IP header first; none if nothing comes at all.
  std::vector<std::uint8_t> next_to(std::uint16_t port) {
    std::vector<std::uint8_t> packet;
    do {
      pollfd ready{fd_.get(), POLLIN, 0};
      if (::poll(&ready, 1, kPatienceMs) != 1) return {};
      packet.resize(2000);
      const ssize_t n = ::recv(fd_.get(), packet.data(), packet.size(), 0);
      packet.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    } while (packet.size() < kIpv4Header + kTcpHeader || packet[9] != kProtocolTcp ||
             load_be16(&packet[kIpv4Header + 2]) != port);
    return packet;
  }
  [[nodiscard]] bool ok() const { return static_cast<bool>(fd_); }

 private:
  static constexpr int kPatienceMs = 60'000;  // only ends a test that hangs
  UniqueFd fd_;
};

class TcpHops : public testing::Test {
 protected:
  void SetUp() override {
    if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
    PrivateNet::route_nowhere(kFar & ~Ipv4{255});
  }
  static std::vector<std::uint8_t> syn(std::uint8_t ttl, std::uint16_t from) {
    auto frame =
        build_segment({.guest_port = from, .dst_port = kPort, .dst = kFar, .seq = 77, .flags = kTcpSyn});
    set_ttl(frame, ttl);
    return frame;
  }
  PrivateNet world;
};

TEST_F(TcpHops, SynGoesOnWithOneLess) {
  Wire wire;
  if (!wire.ok()) GTEST_SKIP() << "no right to listen on a wire here";
  Bench bench;
  std::uint16_t from = 40000;
  for (const auto& [ttl, expected] : std::vector<std::pair<std::uint8_t, int>>{{2, 1}, {30, 29}, {64, 64}}) {
    bench.inject(syn(ttl, from++));
    const auto seen = wire.next_to(kPort);
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen[8], expected);
  }
}

// Type 11, as the router would send it, about the packet.
void tell_that_hops_ended(const std::vector<std::uint8_t>& packet) {
  const UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  std::vector<std::uint8_t> error = {11, 0, 0, 0, 0, 0, 0, 0};
  error.insert(error.end(), packet.begin(), packet.begin() + kIpv4Header + 8);
  Checksum sum;
  sum.add(error);
  store_be16(&error[2], sum.value());
  const SocketAddress to(IpAddress::from_v4(load_be32(&packet[12])), 0);
  EXPECT_EQ(::sendto(fd.get(), error.data(), error.size(), 0, to.get(), to.length()),
            static_cast<ssize_t>(error.size()));
}

TEST_F(TcpHops, RoutersWordReachesTheGuestAboutItsOwnSyn) {
  Wire wire;
  if (!wire.ok()) GTEST_SKIP() << "no right to listen on a wire here";
  Bench bench;
  bench.inject(syn(2, 40000));
  const auto seen = wire.next_to(kPort);
  ASSERT_FALSE(seen.empty());
  ASSERT_NE(load_be16(&seen[kIpv4Header]), 40000);  // the host's port is its own
  tell_that_hops_ended(seen);
  const auto told = bench.next_frame();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->protocol, kProtocolIcmp);
  const auto* icmp = reinterpret_cast<const std::uint8_t*>(told->payload.data());
  EXPECT_EQ(icmp[0], 11);
  EXPECT_EQ(load_be32(icmp + kIcmpHeader + 12), kGuestIp);
  EXPECT_EQ(load_be32(icmp + kIcmpHeader + 16), kFar);
  const std::uint8_t* quoted = icmp + kIcmpHeader + kIpv4Header;
  EXPECT_EQ(load_be16(quoted), 40000);
  EXPECT_EQ(load_be16(quoted + 2), kPort);
  EXPECT_EQ(load_be32(quoted + 4), 77U);
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
  EXPECT_EQ(bench.nat->counters().icmp_errors_passed, 1U);
}

// The far end's SYN-ACK, which the host's own TCP takes for real.
void accept_from_afar(const std::vector<std::uint8_t>& syn) {
  const Ipv4 host = load_be32(&syn[12]);
  std::array<std::uint8_t, kIpv4Header + kTcpHeader> packet{};
  put_ipv4_header(packet.data(), kProtocolTcp, kFar, host, kTcpHeader);
  const auto tcp = std::span(packet).subspan(kIpv4Header);
  store_be16(&tcp[0], kPort);
  store_be16(&tcp[2], load_be16(&syn[kIpv4Header]));
  store_be32(&tcp[4], 5000);
  store_be32(&tcp[8], load_be32(&syn[kIpv4Header + 4]) + 1);
  tcp[12] = (kTcpHeader / 4) << 4;
  tcp[13] = kTcpSyn | kTcpAck;
  store_be16(&tcp[14], 65535);
  Checksum sum;
  sum.add_pseudo_header(kFar, host, kProtocolTcp, tcp.size());
  sum.add(tcp);
  store_be16(&tcp[16], sum.value());
  const UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  const SocketAddress to(IpAddress::from_v4(host), 0);
  EXPECT_EQ(::sendto(fd.get(), packet.data(), packet.size(), 0, to.get(), to.length()),
            static_cast<ssize_t>(packet.size()));
}

// RFC 5927, 4: once there is a connection, what routers say of it ends nothing.
TEST_F(TcpHops, RoutersWordEndsNoConnectionThatIsOpen) {
  Wire wire;
  if (!wire.ok()) GTEST_SKIP() << "no right to listen on a wire here";
  Bench bench;
  bench.inject(syn(2, 40000));
  auto seen = wire.next_to(kPort);
  ASSERT_FALSE(seen.empty());
  accept_from_afar(seen);
  const auto syn_ack = bench.next_frame();
  ASSERT_TRUE(syn_ack);
  ASSERT_EQ(syn_ack->flags, kTcpSyn | kTcpAck);
  SegmentSpec segment{.dst_port = kPort, .dst = kFar, .seq = 78, .ack = syn_ack->seq + 1, .flags = kTcpAck};
  bench.inject(build_segment(segment));
  do {
    seen = wire.next_to(kPort);
    ASSERT_FALSE(seen.empty());
  } while ((seen[kIpv4Header + 13] & kTcpSyn) != 0);  // repeated, on a machine that was slow to answer it
  tell_that_hops_ended(seen);
  bench.run_until([] { return true; });
  EXPECT_TRUE(bench.quiet());
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  segment.payload = "still there";
  bench.inject(build_segment(segment));
  seen = wire.next_to(kPort);
  const std::string packet(seen.begin(), seen.end());
  EXPECT_TRUE(packet.ends_with("still there"));
}

}  // namespace
}  // namespace glassbox::net
