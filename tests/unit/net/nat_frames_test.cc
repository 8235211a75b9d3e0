// Single frames: which of them the NAT answers, refuses and drops, and that none breaks it.
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <random>

#include "net/link/checksum.h"
#include "test_guest.h"

namespace glassbox::net {
namespace {

std::string echo_request(std::size_t bytes = 56) {
  std::string icmp(8 + bytes, 'p');
  auto* p = reinterpret_cast<std::uint8_t*>(icmp.data());
  std::memset(p, 0, 8);
  p[0] = 8;
  store_be16(p + 4, 77);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(p, icmp.size()));
  store_be16(p + 2, sum.value());
  return icmp;
}

class NatFrames : public testing::Test {
 protected:
  void expect_dropped(const std::vector<std::uint8_t>& frame, DropReason reason,
                      const VnetHeader& vnet = {}) {
    const auto before = bench.nat->counters()[reason];
    bench.inject(frame, vnet);
    EXPECT_EQ(bench.nat->counters()[reason], before + 1) << name_of(reason);
  }
  Bench bench;
};

TEST_F(NatFrames, ArpForOurAddressesOnly) {
  for (const Ipv4 address : {kGatewayIp, kDnsIp}) {
    bench.inject(build_arp(address));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->ethertype, kEthertypeArp);
    const auto* arp = reinterpret_cast<const std::uint8_t*>(seen->payload.data());
    EXPECT_EQ(load_be16(arp + 6), 2);
    EXPECT_TRUE(std::equal(kGatewayMac.begin(), kGatewayMac.end(), arp + 8));
    EXPECT_EQ(load_be32(arp + 14), address);
    EXPECT_EQ(load_be32(arp + 24), kGuestIp);
  }
  expect_dropped(build_arp(kGuestIp), DropReason::kArpNotOurs);
  expect_dropped(build_arp(ipv4(10, 0, 2, 77)), DropReason::kArpNotOurs);
  expect_dropped(build_arp(ipv4(8, 8, 8, 8)), DropReason::kArpNotOurs);
  auto reply = build_arp(kGatewayIp);
  reply[21] = 2;
  expect_dropped(reply, DropReason::kBadArp);
  auto odd = build_arp(kGatewayIp);
  odd[19] = 5;
  expect_dropped(odd, DropReason::kBadArp);
}

TEST_F(NatFrames, GatewayAnswersEcho) {
  const std::string request = echo_request();
  bench.inject(build_ipv4(kProtocolIcmp, kGatewayIp, request));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->source, kGatewayIp);
  EXPECT_EQ(seen->payload.size(), request.size());
  EXPECT_EQ(seen->payload[0], 0);
  EXPECT_EQ(seen->payload.substr(4), request.substr(4));
  Checksum sum;
  sum.add(std::span(reinterpret_cast<const std::uint8_t*>(seen->payload.data()), seen->payload.size()));
  EXPECT_EQ(sum.value(), 0);
  expect_dropped(build_ipv4(kProtocolIcmp, kGatewayIp, echo_request().substr(0, 7)), DropReason::kBadIcmp);
  auto wrong = echo_request();
  wrong[20] = 'x';
  expect_dropped(build_ipv4(kProtocolIcmp, kGatewayIp, wrong), DropReason::kBadChecksum);
}

TEST_F(NatFrames, PaddingOfShortFramesIsNotPayload) {
  auto frame = build_segment({.seq = 1, .flags = kTcpAck});
  frame.resize(60);
  bench.inject(frame);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->flags, kTcpRst);
}

TEST_F(NatFrames, FramesThatAreNotForUs) {
  auto frame = build_segment({.flags = kTcpSyn});
  frame[0] ^= 2;
  expect_dropped(frame, DropReason::kNotForUs);
  std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
  expect_dropped(frame, DropReason::kNotForUs);  // a connection is not opened by broadcast
  frame = build_segment({.flags = kTcpSyn});
  store_be16(&frame[12], kEthertypeIpv6);
  expect_dropped(frame, DropReason::kBadIpHeader);  // it says that it is IPv4
  store_be16(&frame[12], 0x8100);
  expect_dropped(frame, DropReason::kUnknownEthertype);
  expect_dropped(build_ipv4(47, kGatewayIp, "gre"), DropReason::kUnknownProtocol);
  expect_dropped(build_ipv4(kProtocolTcp, kGatewayIp, std::string(20, 'x'), 0, ipv4(10, 0, 2, 16)),
                 DropReason::kBadSource);
}

TEST_F(NatFrames, FragmentsAreDropped) {
  for (const std::uint16_t bits : {0x2000, 0x0001, 0x1fff, 0x2010}) {
    expect_dropped(build_segment({.flags = kTcpSyn, .fragment = bits}), DropReason::kFragment);
  }
  EXPECT_EQ(bench.nat->counters().flows_opened, 0U);
}

TEST_F(NatFrames, MalformedHeaders) {
  const auto good = build_segment({.flags = kTcpAck});
  auto bad = good;
  bad[14] = 0x65;
  expect_dropped(bad, DropReason::kBadIpHeader);  // version
  bad = good;
  bad[14] = 0x44;
  expect_dropped(bad, DropReason::kBadIpHeader);  // header of 16 bytes
  bad = good;
  store_be16(&bad[16], 19);
  expect_dropped(bad, DropReason::kBadIpHeader);  // total length below the header's
  bad = good;
  store_be16(&bad[16], 41);
  expect_dropped(bad, DropReason::kShortFrame);  // total length beyond the frame
  bad = good;
  bad[14] = 0x4f;
  expect_dropped(bad, DropReason::kBadIpHeader);
  bad = good;
  bad[24] ^= 1;
  expect_dropped(bad, DropReason::kBadIpChecksum);
  bad = good;
  bad[46] = 0x40;
  expect_dropped(bad, DropReason::kBadTcpHeader);  // data offset of 16 bytes
  bad = good;
  bad[46] = 0xf0;
  expect_dropped(bad, DropReason::kBadTcpHeader);  // beyond the segment
  bad = good;
  bad[50] ^= 1;
  expect_dropped(bad, DropReason::kBadChecksum);
  bench.inject(bad, {.flags = 1});  // vouched for by the vnet header
  EXPECT_EQ(bench.nat->counters()[DropReason::kNoFlow], 1U);
  std::vector<std::uint8_t> huge(kEthernetHeader + kMaxIpPacket + 1);
  expect_dropped(huge, DropReason::kTooLong);
}

TEST_F(NatFrames, EveryTruncationIsSurvived) {
  std::vector<std::vector<std::uint8_t>> frames = {
      build_segment({.flags = kTcpSyn, .options = {2, 4, 5, 0xb4, 1, 3, 3, 7}}),
      build_segment({.flags = kTcpAck, .payload = "payload"}), build_arp(kGatewayIp),
      build_ipv4(kProtocolIcmp, kGatewayIp, echo_request()),
      build_ipv4(kProtocolUdp, kDnsIp, "12345678query")};
  for (const auto& frame : frames) {
    for (std::size_t length = 0; length < frame.size(); ++length) {
      bench.inject({frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length)});
    }
  }
  bench.end_burst();
  EXPECT_TRUE(bench.run_until([] { return true; }));
}

// Bits flipped and bytes replaced at random, some with the checksums made right again, some at a live flow.
TEST(NatFuzz, MutatedFramesAreSurvived) {
  Server server([](int fd) {
    write_all(fd, std::string(10'000, 's'));
    read_all(fd);
  });
  Bench bench;
  bench.port.piece_bytes = 61;
  GuestTcp guest(bench, server.port());
  ASSERT_TRUE(guest.connect());
  // Two, and one more where the server's first bytes came with the SYN-ACK.
  const std::uint64_t frames_before = bench.nat->counters().guest_frames;
  std::mt19937 random(20240229);
  const std::vector<std::uint8_t> flags = {kTcpSyn,           kTcpAck, kTcpAck | kTcpFin, kTcpRst, 0,
                                           kTcpSyn | kTcpAck, 0xff,    kTcpAck | kTcpPsh};
  for (int round = 0; round < 60'000; ++round) {
    SegmentSpec spec;
    spec.guest_port = random() % 4 == 0 ? static_cast<std::uint16_t>(random()) : std::uint16_t{40000};
    spec.dst_port = random() % 8 == 0 ? std::uint16_t{0} : server.port();
    if (random() % 16 == 0) spec.dst = random();
    if (random() % 2 == 0) spec.dst = ipv4(127, 0, 0, 1);
    if (round % 3 == 0) spec.dst = kGatewayIp;
    spec.seq = guest.snd_nxt + random() % 5 - 2;
    spec.ack = guest.rcv_nxt + random() % 3 * 1000;
    spec.flags = flags[random() % flags.size()];
    if (spec.flags & kTcpSyn) spec.dst = ipv4(127, 0, 0, 1);  // do not connect to all the world
    spec.window = static_cast<std::uint16_t>(random());
    spec.payload = std::string(random() % 40, 'x');
    for (std::size_t i = random() % 11; i > 0; --i) {
      for (int k = 0; k < 4; ++k)
        spec.options.push_back(static_cast<std::uint8_t>(random() % 12));
    }
    auto frame = build_segment(spec);
    const unsigned damage = random() % 4;
    for (unsigned i = 0; i < damage; ++i) {
      // The destination address stays: a mutated one might be somebody's.
      const std::size_t at = random() % frame.size();
      if (at >= 30 && at < 34) continue;
      if (at == 23) continue;
      frame[at] = random() % 2 != 0 ? static_cast<std::uint8_t>(random())
                                    : static_cast<std::uint8_t>(frame[at] ^ (1U << random() % 8));
    }
    if (random() % 8 == 0) frame.resize(random() % frame.size());
    bench.inject(frame, {.flags = static_cast<std::uint8_t>(random() % 4)});
    if (round % 64 == 0) {
      bench.end_burst();
      if (round % 1024 == 0) bench.run_until([] { return true; });
      bench.port.published.clear();
    }
  }
  bench.run_until([] { return true; });
  EXPECT_EQ(bench.nat->counters().guest_frames, frames_before + 60'000U);
}

struct Refusal {
  Ipv4 destination;
  RefuseReason reason;
  bool loopback_open;
};

TEST(NatPolicy, ClosedMeansClosed) {
  std::vector<Refusal> cases;
  for (const bool open : {false, true}) {
    cases.push_back({ipv4(127, 0, 0, 1), RefuseReason::kHostLoopbackClosed, open});
    cases.push_back({ipv4(127, 1, 2, 3), RefuseReason::kHostLoopbackClosed, open});
    cases.push_back({ipv4(0, 0, 0, 0), RefuseReason::kHostLoopbackClosed, open});
    cases.push_back({ipv4(0, 1, 2, 3), RefuseReason::kHostLoopbackClosed, open});
    cases.push_back({ipv4(169, 254, 169, 254), RefuseReason::kDenied, open});
    cases.push_back({ipv4(224, 0, 0, 1), RefuseReason::kBadDestination, open});
    cases.push_back({ipv4(255, 255, 255, 255), RefuseReason::kBadDestination, open});
  }
  cases.push_back({kGatewayIp, RefuseReason::kHostLoopbackClosed, false});
  ifaddrs* list = nullptr;
  ASSERT_EQ(::getifaddrs(&list), 0);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    if (entry->ifa_flags & IFF_LOOPBACK) continue;
    sockaddr_in address{};
    std::memcpy(&address, entry->ifa_addr, sizeof(address));
    cases.push_back({ntohl(address.sin_addr.s_addr), RefuseReason::kHostAddressClosed, false});
  }
  ::freeifaddrs(list);
  Server server([](int) {});
  for (const auto& c : cases) {
    Bench bench({.allow_host_loopback = c.loopback_open, .mtu = 1500});
    GuestTcp guest(bench, server.port(), 40000, c.destination);
    EXPECT_FALSE(guest.connect());
    EXPECT_TRUE(guest.reset_received) << std::hex << c.destination;
    EXPECT_EQ(bench.nat->counters()[c.reason], 1U) << std::hex << c.destination;
    EXPECT_EQ(bench.nat->counters().flows_open, 0U);
  }
  EXPECT_EQ(server.accepted(), 0);
}

TEST(NatPolicy, OwnNetworkHasNobodyElseAndSaysSo) {
  Bench bench;
  GuestTcp guest(bench, 80, 40000, ipv4(10, 0, 2, 99));
  guest.send_syn();
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->protocol, kProtocolIcmp);
  ASSERT_EQ(seen->payload.size(), 36U);
  const auto* icmp = reinterpret_cast<const std::uint8_t*>(seen->payload.data());
  EXPECT_EQ(icmp[0], 3);
  EXPECT_EQ(icmp[1], 1);
  EXPECT_EQ(load_be32(icmp + 8 + 16), ipv4(10, 0, 2, 99));  // the quoted header
  EXPECT_EQ(load_be16(icmp + 28), 40000);
  EXPECT_EQ(load_be32(icmp + 32), guest.iss);
}

TEST(NatConfigCheck, MtuHasBounds) {
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  FakePort port;
  EXPECT_FALSE(Nat::create({.allow_host_loopback = false, .mtu = 100}, *loop, port));
  EXPECT_FALSE(Nat::create({.allow_host_loopback = false, .mtu = 65535}, *loop, port));
}

TEST_F(NatFrames, TcpSegmentWhoseTtlEndsAtTheGatewayIsAnswered) {
  auto syn = build_segment(
      {.guest_port = 40001, .dst_port = 81, .dst = ipv4(198, 51, 100, 9), .seq = 77, .flags = kTcpSyn});
  set_ttl(syn, 1);
  bench.inject(syn);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->protocol, kProtocolIcmp);
  EXPECT_EQ(seen->source, kGatewayIp);
  const auto* icmp = reinterpret_cast<const std::uint8_t*>(seen->payload.data());
  EXPECT_EQ(icmp[0], 11);
  const std::uint8_t* quoted = icmp + kIcmpHeader + kIpv4Header;
  EXPECT_EQ(load_be32(icmp + kIcmpHeader + 16), ipv4(198, 51, 100, 9));
  EXPECT_EQ(load_be16(quoted), 40001);
  EXPECT_EQ(load_be16(quoted + 2), 81);
  EXPECT_EQ(load_be32(quoted + 4), 77U);
  EXPECT_EQ(bench.nat->counters()[DropReason::kHopsEnded], 1U);
  EXPECT_EQ(bench.nat->counters().flows_opened, 0U);
  // The gateway itself is reached by it.
  Server server([](int) {});
  syn = build_segment({.dst_port = server.port(), .flags = kTcpSyn});
  set_ttl(syn, 1);
  bench.inject(syn);
  EXPECT_EQ(bench.nat->counters().flows_opened, 1U);
}

}  // namespace
}  // namespace glassbox::net
