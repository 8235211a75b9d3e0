// Published ports: a client of the host, a scripted guest that is the server.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>

#include "net/host/socket_address.h"
#include "tests/unit/net/ipv6_frames.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr std::uint16_t kGuestPort = 8080;

// A port that was free a moment ago: the NAT wants a number.
NatConfig publishing(std::uint16_t host_port) {
  return {.allow_host_loopback = false,
          .mtu = 1500,
          .publish = {{IpAddress::from_v4(ipv4(127, 0, 0, 1)), host_port, kGuestPort}}};
}

UniqueFd client_of(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// The guest's side of a connection that begins with the NAT's SYN.
struct GuestServer {
  Bench& bench;
  Seen syn;
  Seq iss = 5000;
  bool take_syn() {
    const auto seen = bench.next_frame();
    if (!seen) return false;
    syn = *seen;
    return syn.flags == kTcpSyn;
  }
  // Whatever else comes first.
  bool take_fin() {
    for (auto seen = bench.next_frame(); seen; seen = bench.next_frame())
      if ((seen->flags & kTcpFin) != 0) return true;
    return false;
  }
  void send(Seq offset, std::uint8_t flags, const std::string& payload = {}, Seq ack_offset = 1,
            std::vector<std::uint8_t> options = {}) {
    bench.inject(build_segment({.guest_port = kGuestPort,
                                .dst_port = syn.source_port,
                                .dst = syn.source,
                                .seq = iss + offset,
                                .ack = syn.seq + ack_offset,
                                .flags = flags,
                                .options = std::move(options),
                                .payload = payload}));
    bench.end_burst();
  }
};

// A client has connected, and the guest has the SYN.
class PublishedPort : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(guest.take_syn()); }
  const std::uint16_t port = closed_port();
  Bench bench{publishing(port)};
  const UniqueFd client = client_of(port);
  GuestServer guest{bench, {}};
};

TEST_F(PublishedPort, ConnectionReachesTheGuestAndBytesGoBothWays) {
  EXPECT_EQ(guest.syn.source, kGatewayIp);
  EXPECT_EQ(guest.syn.destination, kGuestIp);
  EXPECT_EQ(guest.syn.destination_port, kGuestPort);
  EXPECT_EQ(guest.syn.options.size(), 8U);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 1U);
  write_all(client.get(), "early");  // waits until the guest has answered
  guest.send(0, kTcpSyn | kTcpAck, {}, 1, {2, 4, 5, 0xb4});
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
  std::string got;
  while (got.size() < 5) {
    const auto seen = bench.next_frame();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->ack, guest.iss + 1);
    got += seen->payload;
  }
  EXPECT_EQ(got, "early");
  guest.send(1, kTcpAck | kTcpPsh | kTcpFin, "answer", 6);
  EXPECT_EQ(read_some(client.get(), 7), "answer");  // and the end of the stream
  ::shutdown(client.get(), SHUT_WR);
  ASSERT_TRUE(guest.take_fin());
  guest.send(8, kTcpAck, {}, 7);
  ASSERT_TRUE(bench.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  EXPECT_EQ(bench.nat->counters()[CloseReason::kFinished], 1U);
}

TEST_F(PublishedPort, GuestThatDoesNotListenResetsTheClient) {
  guest.send(0, kTcpRst | kTcpAck, {}, 99);  // not for this SYN
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadReset], 1U);
  EXPECT_EQ(bench.nat->counters().flows_open, 1U);
  guest.send(0, kTcpRst | kTcpAck);
  ASSERT_TRUE(bench.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  char byte = 0;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
}

TEST_F(PublishedPort, SynIsRepeatedAndWrongAnswersChangeNothing) {
  guest.send(0, kTcpAck);                   // no SYN
  guest.send(0, kTcpSyn | kTcpAck, {}, 2);  // acknowledges what was not sent: answered by a reset
  const auto reset = bench.next_frame();
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->flags, kTcpRst);
  const auto again = bench.next_frame();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->flags, kTcpSyn);
  EXPECT_EQ(again->seq, guest.syn.seq);
  guest.send(0, kTcpSyn | kTcpAck);
  const auto ack = bench.next_frame();
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->flags, kTcpAck);
  EXPECT_EQ(bench.nat->counters().flows_connecting, 0U);
}

TEST_F(PublishedPort, BothOpenAtOnce) {
  guest.send(0, kTcpSyn, {}, 0);
  const auto answer = bench.next_frame();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->flags, kTcpSyn | kTcpAck);
  EXPECT_EQ(answer->ack, guest.iss + 1);
  guest.send(1, kTcpAck | kTcpPsh, "hello");
  EXPECT_EQ(read_some(client.get(), 5), "hello");
}

// One edge may stand for several connections.
TEST(NatPublish, ConnectionsThatCameTogetherAllReachTheGuest) {
  const std::uint16_t port = closed_port();
  Bench bench(publishing(port));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(client_of(port));
  std::vector<std::uint16_t> peers;
  for (int i = 0; i < 3; ++i) {
    const auto syn = bench.next_frame();
    ASSERT_TRUE(syn);
    EXPECT_EQ(syn->flags, kTcpSyn);
    peers.push_back(syn->source_port);
  }
  std::sort(peers.begin(), peers.end());
  EXPECT_EQ(std::unique(peers.begin(), peers.end()), peers.end());
  EXPECT_EQ(bench.nat->counters().flows_opened, 3U);
}

// A connection of before that waits for its last segments holds no port.
TEST(NatPublish, PortIsPublishedAgainAtOnce) {
  const std::uint16_t port = closed_port();
  {
    Bench bench(publishing(port));
    const UniqueFd client = client_of(port);
    GuestServer guest{bench, {}};
    ASSERT_TRUE(guest.take_syn());
    guest.send(0, kTcpSyn | kTcpAck);
    guest.send(1, kTcpAck | kTcpFin);  // our side ends first
    EXPECT_EQ(read_some(client.get(), 1), "");
    ::shutdown(client.get(), SHUT_WR);
    ASSERT_TRUE(guest.take_fin());
    guest.send(2, kTcpAck, {}, 2);
    ASSERT_TRUE(bench.run_until([&] { return bench.nat->counters().flows_open == 0; }));
  }
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  FakePort fake;
  const auto again = Nat::create(publishing(port), *loop, fake);
  EXPECT_TRUE(again) << again.error().message;
}

UniqueFd client6_of(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress address(kLoopback6, port);
  if (::connect(fd.get(), address.get(), address.length()) != 0) fd.reset();
  return fd;
}

// All of IPv4 and all of IPv6, side by side; a peer over IPv6 reaches the address that the guest has chosen.
TEST(NatPublish, BothFamiliesHaveThePortAndIpv6GoesWhereTheGuestIs) {
  const std::uint16_t port = closed_port();
  NatConfig config{.allow_host_loopback = false, .mtu = 1500};
  config.publish = {{IpAddress::from_v4(0), port, kGuestPort}, {kUnspecified6, port, kGuestPort}};
  if (!UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))) GTEST_SKIP() << "no IPv6 here";
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  FakePort fake;
  const auto both = Nat::create(config, *loop, fake);
  ASSERT_TRUE(both) << both.error().message;

  const std::uint16_t other = closed_port();
  config.publish = {{kLoopback6, other, kGuestPort}};
  Bench bench(config);
  constexpr IpAddress kChosen = {kNetwork6, 0x77};
  bench.inject(build_ipv6({.source = kChosen}, {128, 0, 0, 0, 1, 2, 3, 4}, 2));  // it speaks
  ASSERT_TRUE(bench.next_frame());
  const UniqueFd client = client6_of(other);
  if (!client) GTEST_SKIP() << "no IPv6 loopback here";
  ASSERT_TRUE(bench.run_until([&] { return !bench.port.published.empty(); }));
  const Bytes& syn = bench.port.published.front().bytes;
  EXPECT_EQ(syn.at(kEthernetHeader + 6), kProtocolTcp);
  EXPECT_EQ(IpAddress::load(&syn[kEthernetHeader + 24]), kChosen);
}

TEST(NatPublish, PortThatIsTakenIsAnErrorThatNamesIt) {
  Server server([](int) {});
  auto loop = std::move(*EventLoop::create(ProbeMode::kNone));
  FakePort port;
  const auto nat = Nat::create(publishing(server.port()), *loop, port);
  ASSERT_FALSE(nat);
  EXPECT_NE(nat.error().message.find("cannot publish 127.0.0.1:"), std::string::npos) << nat.error().message;
}

// No descriptor may be opened while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 64;
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0))
      taken_.emplace_back(fd);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<UniqueFd> taken_;
};

// The edge that reported it is gone, and there is no other connection to bring one.
TEST(NatPublish, ConnectionThatFoundNoDescriptorIsAcceptedLater) {
  const std::uint16_t port = closed_port();
  VirtualLoop loop;
  FakePort guest;
  const auto nat = std::move(*Nat::create(publishing(port), loop, guest));
  // One that is accepted: the undefined-behaviour sanitizer looks at an object's type when it is first used,
  // and needs a pipe for that.
  const UniqueFd first = client_of(port);
  while (loop.turn()) {
  }
  guest.published.clear();
  const UniqueFd client = client_of(port);
  {
    const NoDescriptors none;
    loop.turn();
  }
  while (loop.turn()) {
  }
  EXPECT_TRUE(guest.published.empty());
  EXPECT_EQ(nat->counters().flows_open, 1U);
  ASSERT_NE(loop.deadline_ns(), 0U);
  for (int i = 0; i < 10 && nat->counters().flows_open == 1;
       ++i) {  // the first one's SYN is due again meanwhile
    loop.advance_to(loop.deadline_ns());
    loop.turn();
  }
  while (loop.turn()) {
  }
  EXPECT_EQ(nat->counters().flows_open, 2U);
  EXPECT_EQ(take_apart(guest.published.back()).flags, kTcpSyn);
}

// Who connects faster than we accept must not hold up everybody else's turn.
TEST(NatPublish, CrowdIsAcceptedOverSeveralTurns) {
  const std::uint16_t port = closed_port();
  VirtualLoop loop;
  FakePort guest;
  const auto nat = std::move(*Nat::create(publishing(port), loop, guest));
  std::vector<UniqueFd> crowd;
  for (int i = 0; i < 150; ++i)
    crowd.push_back(client_of(port));
  loop.turn();
  EXPECT_EQ(nat->counters().flows_open, 64U);
  while (loop.turn()) {
  }
  EXPECT_EQ(nat->counters().flows_open, 150U);
}

}  // namespace
}  // namespace glassbox::net
