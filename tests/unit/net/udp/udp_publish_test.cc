// Published UDP ports: clients of the host, a scripted guest that is the server.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/link/checksum.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr std::uint16_t kGuestPort = 5353;

NatConfig publishing(std::uint16_t host_port) {
  NatConfig config{.allow_host_loopback = false, .mtu = 1500};
  config.publish = {{IpAddress::from_v4(ipv4(127, 0, 0, 1)), host_port, kGuestPort, true}};
  return config;
}

class Client {
 public:
  // from: an address and port of its own, if that matters.
  explicit Client(std::uint16_t to, Ipv4 from = INADDR_LOOPBACK, std::uint16_t from_port = 0)
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(from_port);
    address.sin_addr.s_addr = htonl(from);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    address.sin_port = htons(to);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port = ntohs(address.sin_port);
  }
  void send(const std::string& text) { ::send(fd_.get(), text.data(), text.size(), 0); }
  std::string receive() { return receive_now(0); }
  // What is there already, or nothing.
  std::string receive_now(int flags = MSG_DONTWAIT) {
    std::string text(2000, '\0');
    const ssize_t n = ::recv(fd_.get(), text.data(), text.size(), flags);
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
  }
  std::uint16_t port = 0;

 private:
  UniqueFd fd_;
};

std::vector<std::uint8_t> answer(const Seen& request, const std::string& payload) {
  std::string udp(kUdpHeader, '\0');
  auto* u = reinterpret_cast<std::uint8_t*>(udp.data());
  const auto* asked = reinterpret_cast<const std::uint8_t*>(request.payload.data());
  store_be16(u, load_be16(asked + 2));
  store_be16(u + 2, load_be16(asked));
  store_be16(u + 4, static_cast<std::uint16_t>(kUdpHeader + payload.size()));
  return build_ipv4(kProtocolUdp, request.source, udp + payload);
}

std::uint16_t source_port(const Seen& seen) {
  return load_be16(reinterpret_cast<const std::uint8_t*>(seen.payload.data()));
}

// What the peer would have sent, for an answer to nothing.
Seen never_asked(const Client& peer) {
  Seen request;
  request.source = kGatewayIp;
  request.payload.assign(kUdpHeader, '\0');
  auto* udp = reinterpret_cast<std::uint8_t*>(request.payload.data());
  store_be16(udp, peer.port);
  store_be16(udp + 2, kGuestPort);
  return request;
}

TEST(NatUdpPublish, PeersAreToldApartAndAnswered) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench bench(publishing(port));
  Client first(port);
  Client second(port);
  first.send("from the first");
  second.send("from the second");
  std::vector<Seen> seen;
  for (int i = 0; i < 2; ++i) {
    auto frame = bench.next_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->source, kGatewayIp);
    EXPECT_EQ(load_be16(reinterpret_cast<const std::uint8_t*>(frame->payload.data()) + 2), kGuestPort);
    seen.push_back(std::move(*frame));
  }
  for (const Seen& request : seen) {
    const bool is_first = source_port(request) == first.port;
    EXPECT_EQ(request.payload.substr(kUdpHeader), is_first ? "from the first" : "from the second");
    bench.inject(answer(request, is_first ? "to the first" : "to the second"));
    bench.inject(answer(request, ""));
  }
  EXPECT_EQ(first.receive(), "to the first");
  EXPECT_EQ(second.receive(), "to the second");
  EXPECT_EQ(first.receive(), "");
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 2U);
}

TEST(NatUdpPublish, PeerThatIsGoneIsPortUnreachableForTheGuest) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench bench(publishing(port));
  std::optional<Seen> request;
  {
    Client client(port);
    client.send("and off");
    request = bench.next_frame();
    ASSERT_TRUE(request);
  }
  bench.inject(answer(*request, "too late"));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->protocol, kProtocolIcmp);
  EXPECT_EQ(seen->payload.substr(0, 2), std::string("\3\3"));
  const auto* udp = reinterpret_cast<const std::uint8_t*>(seen->payload.data()) + kIcmpHeader + kIpv4Header;
  EXPECT_EQ(load_be16(udp), kGuestPort);
  EXPECT_EQ(load_be16(udp + 2), source_port(*request));
}

// The guest spoke to the peer from a socket of its own, before the peer spoke to the published port: from
// then on the answers come from there, as the peer expects.
TEST(NatUdpPublish, PeerThatTheGuestKnewIsAnsweredFromThePublishedPort) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  NatConfig config = publishing(port);
  config.allow_host_loopback = true;
  Bench bench(config);
  Client client(port);
  // The client's socket is connected and does not hear it.
  bench.inject(answer(never_asked(client), "from nowhere"));
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 1U);
  ASSERT_TRUE(bench.run_until([] { return true; }));
  bench.port.published.clear();
  client.send("hello");
  const auto request = bench.next_frame();
  ASSERT_TRUE(request);
  bench.inject(answer(*request, "to you"));
  EXPECT_EQ(client.receive_now(), "to you");
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 1U);
}

// Two addresses of the host are one peer to the guest: the newest is answered.
TEST(NatUdpPublish, PeerThatComesFromAnotherAddressIsAnsweredThere) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench bench(publishing(port));
  Client first(port);
  Client second(port, ipv4(127, 0, 0, 2), first.port);
  first.send("from 127.0.0.1");
  ASSERT_TRUE(bench.next_frame());
  second.send("from 127.0.0.2");
  const auto request = bench.next_frame();
  ASSERT_TRUE(request);
  EXPECT_EQ(source_port(*request), first.port);
  bench.inject(answer(*request, "to the second"));
  EXPECT_EQ(second.receive_now(), "to the second");
  EXPECT_EQ(first.receive_now(), "");
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 1U);
}

// Whoever may reach a published port can make as many flows of it as there are ports to send from.
TEST(NatUdpPublish, StrangersLeaveTheGuestRoomForFlowsOfItsOwn) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  NatConfig config = publishing(port);
  config.allow_host_loopback = true;
  Bench bench(config);
  bench.port.discard = true;
  for (unsigned i = 0; i < 1100; ++i) {
    Client(port, ipv4(127, 0, 1, 1), static_cast<std::uint16_t>(20000 + i)).send("x");
    ASSERT_TRUE(bench.run_until([] { return true; }));
  }
  ASSERT_TRUE(bench.run_until([&] {
    return bench.nat->counters().udp_flows_open + bench.nat->counters()[RefuseReason::kTableFull] == 1100;
  }));
  bench.port.discard = false;
  Client service(port);
  Seen to_service;
  to_service.source = kGatewayIp;
  to_service.payload.assign(kUdpHeader, '\0');
  auto* udp = reinterpret_cast<std::uint8_t*>(to_service.payload.data());
  store_be16(udp, service.port);
  store_be16(udp + 2, 4444);
  const auto before = bench.nat->counters().udp_flows_open;
  bench.inject(answer(to_service, "of its own"));
  EXPECT_EQ(bench.nat->counters().udp_flows_open, before + 1);
}

// More datagrams at once than a turn takes: their edge comes only once.
TEST(NatUdpPublish, ManyDatagramsAtOnceAllArrive) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench bench(publishing(port));
  Client client(port);
  constexpr std::size_t kDatagrams = 150;
  for (std::size_t i = 0; i < kDatagrams; ++i)
    client.send(std::to_string(i));
  ASSERT_TRUE(bench.run_until([&] { return bench.port.published.size() >= kDatagrams; }));
  for (std::size_t i = 0; i < kDatagrams; ++i)
    EXPECT_EQ(bench.next_frame()->payload.substr(kUdpHeader), std::to_string(i));
}

// A guest cannot use the published socket to reach closed destinations: it can answer only to peers that have
// sent to the port.
TEST(NatUdpPublish, StrangersAreStillBehindThePolicy) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench bench(publishing(port));
  Client bystander(port);
  bench.inject(answer(never_asked(bystander), "hello?"));
  EXPECT_EQ(bench.nat->counters()[RefuseReason::kHostLoopbackClosed], 1U);
  EXPECT_EQ(bench.nat->counters().udp_flows_open, 0U);
}

TEST(NatUdpPublish, IdlePeersGo) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  VirtualLoop loop;
  FakePort guest;
  auto nat = std::move(*Nat::create(publishing(port), loop, guest));
  for (int i = 0; i < 10; ++i) {
    Client client(port);
    client.send("hello");
    loop.turn();
  }
  EXPECT_EQ(nat->counters().udp_flows_open, 10U);
  while (loop.deadline_ns() != 0) {
    loop.advance_to(loop.deadline_ns());
    loop.turn();
  }
  EXPECT_EQ(nat->counters().udp_flows_open, 0U);
  Client again(port);
  again.send("still open");
  loop.turn();
  EXPECT_EQ(nat->counters().udp_flows_open, 1U);
}

TEST(NatUdpPublish, PortThatIsTakenIsAnErrorThatNamesIt) {
  const std::uint16_t port = closed_port(SOCK_DGRAM);
  Bench first(publishing(port));
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  FakePort guest;
  const auto second = Nat::create(publishing(port), *loop, guest);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("127.0.0.1:" + std::to_string(port) + "/udp"), std::string::npos);
}

}  // namespace
}  // namespace glassbox::net
