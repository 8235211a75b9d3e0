// UDP through the NAT, against real sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/checksum.h"
#include "net/resolver.h"
#include "test_guest.h"

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
  UdpServer() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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

TEST(NatUdp, TableIsBounded) {
  UdpServer server;
  Bench bench;
  for (int i = 0; i < 1100; ++i) {
    bench.inject(build_ipv4(kProtocolUdp, kGatewayIp,
                            datagram(static_cast<std::uint16_t>(2000 + i), server.port, "")));
  }
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kTableFull], 1100U - 1024U);
}

TEST(ResolvConf, FirstIpv4NameServer) {
  EXPECT_EQ(
      first_nameserver("# comment\nsearch x\nnameserver fe80::1\nnameserver\t192.0.2.7 \nnameserver 1.1.1.1"),
      ipv4(192, 0, 2, 7));
  EXPECT_EQ(first_nameserver("nameserver 127.0.0.53\n"), ipv4(127, 0, 0, 53));
  EXPECT_EQ(first_nameserver("nameserver1.2.3.4\nnameserver\nnameserver 1.2.3\noptions"), std::nullopt);
  EXPECT_EQ(first_nameserver(""), std::nullopt);
  EXPECT_EQ(first_nameserver("nameserver 1111111111111111111111111111"), std::nullopt);
}

}  // namespace
}  // namespace glassbox::net
