// UDP through the NAT, against real sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>

#include "net/link/checksum.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/private_net.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

std::string datagram(std::uint16_t from, std::uint16_t to, const std::string& payload,
                     Ipv4 dst = kGatewayIp) {
  std::string udp(kUdpHeader, '\0');
  auto* u = reinterpret_cast<std::uint8_t*>(udp.data());
  store_be16(u, from);
  store_be16(u + 2, to);
  store_be16(u + 4, static_cast<std::uint16_t>(kUdpHeader + payload.size()));
  udp += payload;
  Checksum sum;
  sum.add_pseudo_header(kGuestIp, dst, kProtocolUdp, udp.size());
  sum.add(std::span(reinterpret_cast<const std::uint8_t*>(udp.data()), udp.size()));
  store_be16(reinterpret_cast<std::uint8_t*>(udp.data()) + 6, sum.value());
  return udp;
}

class UdpServer {
 public:
  explicit UdpServer(Ipv4 at = ipv4(127, 0, 0, 1)) : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(at);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port = ntohs(address.sin_port);
  }
  std::string receive() {
    std::string text(2000, '\0');
    socklen_t length = sizeof(peer_);
    const ssize_t n =
        ::recvfrom(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer_), &length);
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
  }
  void answer(const std::string& text) {
    ::sendto(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer_), sizeof(peer_));
  }
  // Of the next datagram (IP_RECVTTL).
  int receive_ttl() {
    alignas(cmsghdr) std::array<char, 64> control;
    char byte = 0;
    iovec piece{&byte, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    EXPECT_EQ(::recvmsg(fd_.get(), &message, 0), 1);
    int ttl = -1;
    if (const cmsghdr* entry = CMSG_FIRSTHDR(&message)) std::memcpy(&ttl, CMSG_DATA(entry), sizeof(ttl));
    return ttl;
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  std::uint16_t port = 0;

 private:
  UniqueFd fd_;
  sockaddr_in peer_{};
};

TEST(NatUdp, RequestAndAnswersOverOneSocket) {
  UdpServer server;
  Bench bench;
  for (const bool offload : {true, false}) {
    bench.port.offered.rx_csum = offload;
    bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "question")));
    EXPECT_EQ(server.receive(), "question");
    server.answer("answer");
    server.answer("");
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    ASSERT_EQ(seen->payload.size(), kUdpHeader + 6);
    EXPECT_EQ(seen->source, kGatewayIp);
    EXPECT_EQ(seen->payload.substr(kUdpHeader), "answer");
    const auto* u = reinterpret_cast<const std::uint8_t*>(seen->payload.data());
    EXPECT_EQ(load_be16(u), server.port);
    EXPECT_EQ(load_be16(u + 2), 5000);
    Checksum sum;
    sum.add_pseudo_header(kGatewayIp, kGuestIp, kProtocolUdp, seen->payload.size());
    if (offload) {
      EXPECT_EQ(load_be16(u + 6), sum.partial());
    } else {
      sum.add(std::span(u, seen->payload.size()));
      EXPECT_EQ(sum.value(), 0);
    }
    const auto empty = bench.next_frame();
    ASSERT_TRUE(empty);
    EXPECT_EQ(empty->payload.size(), kUdpHeader);
  }
}

// A checksum that comes out as 0 goes as all ones, since 0 says that there is none (RFC 768).
TEST(NatUdp, ChecksumOfZeroIsSentAsAllOnes) {
  UdpServer server;
  Bench bench;
  bench.port.offered = {};
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "question")));
  EXPECT_EQ(server.receive(), "question");
  // The payload is the complement of what the rest sums up to.
  Checksum rest;
  rest.add_pseudo_header(kGatewayIp, kGuestIp, kProtocolUdp, kUdpHeader + 2);
  std::array<std::uint8_t, kUdpHeader> header{};
  store_be16(header.data(), server.port);
  store_be16(&header[2], 5000);
  store_be16(&header[4], kUdpHeader + 2);
  rest.add(header);
  std::string payload(2, '\0');
  store_be16(reinterpret_cast<std::uint8_t*>(payload.data()), rest.value());
  server.answer(payload);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->payload.size(), kUdpHeader + 2);
  EXPECT_EQ(load_be16(reinterpret_cast<const std::uint8_t*>(seen->payload.data()) + 6), 0xffff);
}

// RFC 4787, REQ-5: not before two minutes of silence; but then, and not much later (the sweep is every 5 s).
TEST(NatUdp, FlowsEndAfterTwoMinutesOfSilence) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  UdpServer server;
  VirtualLoop loop;
  FakePort port;
  auto nat = std::move(*Nat::create({.allow_host_loopback = true, .mtu = 1500}, loop, port));
  const auto ask = [&] {
    const auto frame = build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "question"));
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat->on_guest_frame(std::span(&piece, 1), {}, 0);
    loop.turn();
  };
  const auto pass = [&](std::uint64_t seconds) {
    const std::uint64_t end_ns = loop.now_ns() + seconds * kSecondNs;
    while (loop.deadline_ns() != 0 && loop.deadline_ns() <= end_ns) {
      loop.advance_to(loop.deadline_ns());
      loop.turn();
    }
    loop.advance_to(end_ns);
    loop.turn();
  };
  ask();
  pass(119);
  EXPECT_EQ(nat->counters().udp_flows_open, 1U);
  EXPECT_EQ(server.receive(), "question");
  server.answer("answer");  // either direction keeps it
  loop.turn();
  pass(119);
  EXPECT_EQ(nat->counters().udp_flows_open, 1U);
  ask();
  pass(119);
  EXPECT_EQ(nat->counters().udp_flows_open, 1U);
  pass(7);
  EXPECT_EQ(nat->counters().udp_flows_open, 0U);
  EXPECT_EQ(nat->counters().udp_flows_opened, 1U);
}

TEST(NatUdp, TooLargeForTheMtuIsDropped) {
  UdpServer server;
  Bench bench;
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "q")));
  server.receive();
  server.answer(std::string(1473, 'x'));
  server.answer(std::string(1472, 'y'));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.size(), kUdpHeader + 1472);
  EXPECT_EQ(bench.nat->counters()[DropReason::kTooLong], 1U);
}

TEST(NatUdp, PortWithoutListenerIsUnreachable) {
  std::uint16_t port = 0;
  {
    UdpServer gone;
    port = gone.port;
  }
  Bench bench;
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, port, "anybody?")));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->protocol, kProtocolIcmp);
  EXPECT_EQ(seen->payload[0], 3);
  EXPECT_EQ(seen->payload[1], 3);
}

TEST(NatUdp, LoopbackClosedIsClosedForUdpToo) {
  UdpServer server;
  Bench bench({.allow_host_loopback = false, .mtu = 1500});
  for (const Ipv4 dst : {kGatewayIp, ipv4(127, 0, 0, 1), Ipv4{0}, ipv4(169, 254, 1, 1)}) {
    bench.inject(build_ipv4(kProtocolUdp, dst, datagram(5000, server.port, "secret?", dst)));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->protocol, kProtocolIcmp);
  }
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 3U);
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kDenied], 1U);
}

TEST(NatUdp, MalformedIsDropped) {
  Bench bench;
  auto wrong = datagram(5000, 53, "xyz");
  wrong[10] = 'q';
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, wrong));
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadChecksum], 1U);
  for (const char length : {'\0', '\7', '\x7f'}) {
    auto udp = datagram(5000, 53, "xyz");
    udp[5] = length;
    bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, udp));
  }
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, "short"));
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadUdp], 4U);
}

// A datagram that the host does not take is lost and counted under a reason, as a dropped frame is.
TEST(NatUdp, DatagramThatTheHostRefusesForItsSizeIsCounted) {
  const PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  UdpServer server;
  Bench bench;
  const int next = ::dup(0);  // the number that the flow's socket will have
  ::close(next);
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "small")));
  EXPECT_EQ(server.receive(), "small");
  const int never_in_pieces = IP_PMTUDISC_DO;
  ASSERT_EQ(::setsockopt(next, IPPROTO_IP, IP_MTU_DISCOVER, &never_in_pieces, sizeof(never_in_pieces)), 0);
  ASSERT_TRUE(PrivateNet::set_mtu(1500));
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, std::string(2000, 'x'))));
  EXPECT_EQ(bench.nat->counters()[DropReason::kTooLong], 1U);
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "goes on")));
  EXPECT_EQ(server.receive(), "goes on");
}

TEST(NatUdp, TableIsBounded) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 2000) GTEST_SKIP() << "no more than " << limit.rlim_max << " descriptors here";
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  UdpServer server;
  Bench bench;
  for (int i = 0; i < 1100; ++i) {
    bench.inject(build_ipv4(kProtocolUdp, kGatewayIp,
                            datagram(static_cast<std::uint16_t>(2000 + i), server.port, "")));
  }
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kTableFull], 1100U - 1024U);
}

// The quoted header is the guest's own, whatever addresses and ports the host used.
void expect_quotes(const Seen& seen, std::uint8_t type, std::uint8_t code, Ipv4 destination,
                   std::uint16_t from, std::uint16_t to, const std::string& payload) {
  ASSERT_EQ(seen.protocol, kProtocolIcmp);
  ASSERT_EQ(seen.payload.size(), kIcmpHeader + kIpv4Header + kUdpHeader + payload.size());
  const auto* icmp = reinterpret_cast<const std::uint8_t*>(seen.payload.data());
  Checksum sum;
  sum.add(std::span(icmp, seen.payload.size()));
  EXPECT_EQ(sum.value(), 0);
  EXPECT_EQ(icmp[0], type);
  EXPECT_EQ(icmp[1], code);
  const std::uint8_t* ip = icmp + kIcmpHeader;
  EXPECT_EQ(load_be32(ip + 12), kGuestIp);
  EXPECT_EQ(load_be32(ip + 16), destination);
  const std::uint8_t* udp = ip + kIpv4Header;
  EXPECT_EQ(load_be16(udp), from);
  EXPECT_EQ(load_be16(udp + 2), to);
  EXPECT_EQ(load_be16(ip + 2), kIpv4Header + load_be16(udp + 4));
  EXPECT_EQ(seen.payload.substr(kIcmpHeader + kIpv4Header + kUdpHeader), payload);
}

TEST(NatUdp, ErrorsOfTheNetworkQuoteTheGuestsDatagram) {
  std::uint16_t port = 0;
  {
    UdpServer gone;
    port = gone.port;
  }
  Bench bench;
  for (int i = 0; i < 3; ++i) {  // a flow that had an error goes on
    bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, port, "anybody?")));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->source, kGatewayIp);
    expect_quotes(*seen, 3, 3, kGatewayIp, 5000, port, "anybody?");
  }
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kConnectionRefused], 3U);
  EXPECT_EQ(bench.nat->counters().icmp_errors_passed, 3U);
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 1U);
}

// The host's kernel quotes no more than 576 bytes; the lengths in the headers are the guest's all the same.
TEST(NatUdp, ErrorsAboutLargeDatagramsHaveTheirLength) {
  std::uint16_t port = 0;
  {
    UdpServer gone;
    port = gone.port;
  }
  Bench bench;
  constexpr std::size_t kBytes = 1400;
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, port, std::string(kBytes, 'l'))));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  const auto* ip = reinterpret_cast<const std::uint8_t*>(seen->payload.data()) + kIcmpHeader;
  EXPECT_LT(seen->payload.size(), kBytes);
  EXPECT_EQ(load_be16(ip + 2), kIpv4Header + kUdpHeader + kBytes);
  EXPECT_EQ(load_be16(ip + kIpv4Header + 4), kUdpHeader + kBytes);
}

// More datagrams at once than a turn takes: their edge comes only once.
TEST(NatUdp, ManyAnswersAtOnceAllArrive) {
  UdpServer server;
  Bench bench;
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "all, please")));
  EXPECT_EQ(server.receive(), "all, please");
  constexpr std::size_t kAnswers = 150;
  for (std::size_t i = 0; i < kAnswers; ++i)
    server.answer(std::to_string(i));
  ASSERT_TRUE(bench.run_until([&] { return bench.port.published.size() >= kAnswers; }));
  for (std::size_t i = 0; i < kAnswers; ++i)
    EXPECT_EQ(bench.next_frame()->payload.substr(kUdpHeader), std::to_string(i));
}

TEST(NatUdp, AnswersWithoutReceiveBuffersAreCounted) {
  UdpServer server;
  Bench bench;
  bench.inject(build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "two, please")));
  EXPECT_EQ(server.receive(), "two, please");
  bench.port.frames_left = 0;
  server.answer("one");
  server.answer("two");
  EXPECT_TRUE(bench.run_until([&] { return bench.nat->counters()[DropReason::kNoReceiveBuffer] == 2; }));
  bench.port.give_buffers(10);
  server.answer("three");
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.substr(kUdpHeader), "three");
}

TEST(NatUdp, RefusalsQuoteNoMoreThanRfc1812Allows) {
  Bench bench;
  const std::string payload(1400, 'q');
  const Ipv4 denied = ipv4(169, 254, 1, 1);
  bench.inject(build_ipv4(kProtocolUdp, denied, datagram(5000, 9, payload, denied)));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->payload.size(), 576U - kIpv4Header);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\xd"));
  const auto* ip = reinterpret_cast<const std::uint8_t*>(seen->payload.data()) + kIcmpHeader;
  EXPECT_EQ(load_be16(ip + 2), kIpv4Header + kUdpHeader + payload.size());
}

TEST(NatUdp, NothingIsSaidAboutMulticast) {
  Bench bench;
  const Ipv4 group = ipv4(239, 1, 2, 3);
  bench.inject(build_ipv4(kProtocolUdp, group, datagram(5000, 9, "all", group)));
  EXPECT_TRUE(bench.run_until([] { return true; }));
  EXPECT_TRUE(bench.quiet());
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kBadDestination], 1U);
}

TEST(NatUdp, NoWayIsToldAtOnce) {
  PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  Bench bench;
  const std::vector<std::pair<Ipv4, std::uint8_t>> cases = {{PrivateNet::kUnreachable, 1},
                                                            {PrivateNet::kNoRoute, 0}};
  for (const auto& [destination, code] : cases) {
    bench.inject(build_ipv4(kProtocolUdp, destination, datagram(5000, 9, "hello", destination)));
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    expect_quotes(*seen, 3, code, destination, 5000, 9, "hello");
  }
}

TEST(NatUdp, GatewayIsTheFirstHop) {
  UdpServer server;
  Bench bench;
  const Ipv4 far = ipv4(203, 0, 113, 5);
  auto frame = build_ipv4(kProtocolUdp, far, datagram(33434, 33435, "probe", far));
  set_ttl(frame, 1);
  bench.inject(frame);
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->source, kGatewayIp);
  expect_quotes(*seen, 11, 0, far, 33434, 33435, "probe");
  frame = build_ipv4(kProtocolUdp, kGatewayIp, datagram(5000, server.port, "near"));
  set_ttl(frame, 1);
  bench.inject(frame);
  EXPECT_EQ(server.receive(), "near");
}

TEST(NatUdp, HopLimitOfTheGuestGoesOnOneLess) {
  PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  const int on = 1;
  UdpServer far(PrivateNet::kAddress);
  ::setsockopt(far.fd(), IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
  Bench inside({.allow_host_loopback = true, .mtu = 1500});
  for (const auto& [ttl, expected] : std::vector<std::pair<std::uint8_t, int>>{{2, 1}, {30, 29}, {64, 64}}) {
    auto frame = build_ipv4(kProtocolUdp, PrivateNet::kAddress,
                            datagram(5000, far.port, "probe", PrivateNet::kAddress));
    set_ttl(frame, ttl);
    inside.inject(frame);
    EXPECT_EQ(far.receive_ttl(), expected);
  }
}

}  // namespace
}  // namespace glassbox::net
