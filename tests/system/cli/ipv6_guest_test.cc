// IPv6 in a guest: address, route, gateway, servers on the host's ::1 over TCP and UDP, names, and ports that
// are published on ::1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "tests/system/cli/process.h"
#include "tests/unit/net/dns/dns_builder.h"
#include "tools/bench/stacks/echo.h"
#include "vmm/base/lab.h"

namespace glassbox::test {
namespace {

using testing::HasSubstr;

constexpr std::uint16_t kDnsPort = 53;

UniqueFd bound_datagrams(std::uint16_t port) {
  const net::SocketAddress address(net::kLoopback6, port);
  UniqueFd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::bind(fd.get(), address.get(), address.length()) != 0) fd.reset();
  return fd;
}

// Answers datagrams on ::1, on a thread, until an empty one comes.
class DatagramServer {
 public:
  explicit DatagramServer(UniqueFd fd, std::string (*answer)(const std::string&)) : fd_(std::move(fd)) {
    net::SocketAddress own;
    ::getsockname(fd_.get(), own.get(), own.length_out());
    port = own.port();
    thread_ = std::thread([this, answer] {
      for (;;) {
        net::SocketAddress peer;
        std::string text(2000, '\0');
        const ssize_t n = ::recvfrom(fd_.get(), text.data(), text.size(), 0, peer.get(), peer.length_out());
        if (n <= 0) return;
        text.resize(static_cast<std::size_t>(n));
        const std::string reply = answer(text);
        ::sendto(fd_.get(), reply.data(), reply.size(), 0, peer.get(), peer.length());
      }
    });
  }
  ~DatagramServer() {
    const net::SocketAddress own(net::kLoopback6, port);
    ::sendto(fd_.get(), "", 0, 0, own.get(), own.length());
    thread_.join();
  }
  std::uint16_t port = 0;

 private:
  UniqueFd fd_;
  std::thread thread_;
};

std::string greeting_reply(const std::string& text) {
  return "the host heard " + text;
}

// A name server for which every name has one address of each family.
std::string dns_reply(const std::string& text) {
  const auto query = net::parse_dns_query(net::octets(text));
  if (!query || query->question.size() < 5) return "?";
  constexpr std::uint16_t kTypeAaaa = 28;
  const std::uint16_t type = net::load_be16(&query->question[query->question.size() - 4]);
  const net::IpAddress address{0x2001'0db8'0000'0000, 0x55};
  std::string bytes(16, '\0');
  address.store(reinterpret_cast<std::uint8_t*>(bytes.data()));
  net::DnsSpec reply = net::dns_answer(60, {'\xc0', '\0', '\2', '\x37'});
  reply.id = query->id;
  reply.name = "name.test";
  reply.type = type;
  if (type == kTypeAaaa) reply.answer = net::dns_record(net::kToQuestion, kTypeAaaa, 60, bytes);
  return net::dns_message(reply);
}

class Ipv6Guest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto listener = bench::listen_on({net::kLoopback6, 0});
    auto names = bound_datagrams(kDnsPort);
    if (!listener || (!in_lab() && run(glassbox({"kvm-check"})).status != 0)) return;
    listener_ = std::move(*listener);
    if (names) names_ = std::make_unique<DatagramServer>(std::move(names), dns_reply);
    datagrams_ = std::make_unique<DatagramServer>(bound_datagrams(0), greeting_reply);
    tcp_port_ = *bench::bound_port(listener_);
    echo_ = std::thread([] { (void)bench::serve_echo(listener_, {.request_bytes = 3000}, served_); });
    published_tcp_ = *bench::bound_port(*bench::listen_on({net::kLoopback6, 0}));
    {
      const DatagramServer free_port(bound_datagrams(0), greeting_reply);
      published_udp_ = free_port.port;
    }
    booted_ = run(glassbox({"run", "-d", "--name", "six", "--dns", "::1",
                            fmt::format("--allow-host-loopback={},{}", tcp_port_, datagrams_->port),
                            "--publish", fmt::format("[::1]:{}:7", published_tcp_), "--publish",
                            fmt::format("[::1]:{}:7/udp", published_udp_), "--add",
                            std::string(ECHO_PROGRAM) + ":/usr/bin/gb-echo", "--add",
                            std::string(DATAGRAM_PROGRAM) + ":/usr/bin/datagram"}));
  }
  static void TearDownTestSuite() {
    (void)run(glassbox({"stop", "six"}));
    names_.reset();
    datagrams_.reset();
    if (listener_) ::shutdown(listener_.get(), SHUT_RDWR);
    if (echo_.joinable()) echo_.join();
  }
  void SetUp() override {
    if (booted_.status == -1)
      GTEST_SKIP() << "needs a usable KVM (tools/in-lab ctest -L system) and a host with ::1";
    ASSERT_EQ(booted_.status, 0) << booted_.err;
  }
  static std::vector<std::string> in_guest(std::vector<std::string> command) {
    command.insert(command.begin(), {"exec", "six", "--"});
    return glassbox(std::move(command));
  }
  static ProgramResult exec(std::vector<std::string> command) { return run(in_guest(std::move(command))); }

  static ProgramResult booted_;
  static UniqueFd listener_;
  static std::thread echo_;
  static std::unique_ptr<DatagramServer> names_, datagrams_;
  static std::atomic<std::uint64_t> served_;
  static std::uint16_t tcp_port_, published_tcp_, published_udp_;
};
ProgramResult Ipv6Guest::booted_;
UniqueFd Ipv6Guest::listener_;
std::thread Ipv6Guest::echo_;
std::unique_ptr<DatagramServer> Ipv6Guest::names_, Ipv6Guest::datagrams_;
std::atomic<std::uint64_t> Ipv6Guest::served_{0};
std::uint16_t Ipv6Guest::tcp_port_, Ipv6Guest::published_tcp_, Ipv6Guest::published_udp_;

TEST_F(Ipv6Guest, HasItsAddressAndRouteAfterTheBoot) {
  const std::string addresses = exec({"ip", "-6", "addr", "show", "eth0"}).out;
  EXPECT_THAT(addresses, HasSubstr("fd00:10:0:2::15/64"));
  EXPECT_THAT(addresses, testing::Not(HasSubstr("tentative")));
  EXPECT_THAT(exec({"ip", "-6", "route"}).out, HasSubstr("default via fd00:10:0:2::2"));
}

TEST_F(Ipv6Guest, PingsTheGateway) {
  const ProgramResult ping = exec({"ping", "-6", "-c", "3", "-W", "60", "fd00:10:0:2::2"});
  EXPECT_EQ(ping.status, 0) << ping.out << ping.err;
  EXPECT_THAT(ping.out, HasSubstr("3 packets received"));
}

TEST_F(Ipv6Guest, TcpReachesTheHostsLoopback) {
  const ProgramResult client =
      exec({"gb-crr", "fd00:10:0:2::2", std::to_string(tcp_port_), "--cycles", "10", "--payload", "3000"});
  EXPECT_EQ(client.status, 0) << client.err;
  EXPECT_EQ(served_.load(), 10U);
}

TEST_F(Ipv6Guest, AnUnnamedPortIsClosed) {
  const auto other = bench::listen_on({net::kLoopback6, 0});
  ASSERT_TRUE(other.has_value());
  const ProgramResult client =
      exec({"gb-crr", "fd00:10:0:2::2", std::to_string(*bench::bound_port(*other)), "--cycles", "1"});
  EXPECT_EQ(client.status, 1);
  EXPECT_THAT(client.err, HasSubstr("Connection refused"));
}

TEST_F(Ipv6Guest, UdpReachesTheHostsLoopback) {
  const ProgramResult client =
      exec({"datagram", "say", fmt::format("[fd00:10:0:2::2]:{}", datagrams_->port), "hello"});
  EXPECT_EQ(client.status, 0) << client.err;
  EXPECT_EQ(client.out, "the host heard hello\n");
}

TEST_F(Ipv6Guest, NamesAreResolvedOverIt) {
  if (!names_) GTEST_SKIP() << "cannot bind port 53 of ::1";
  const ProgramResult client = exec({"nslookup", "-type=aaaa", "name.test", "fd00:10:0:2::3"});
  EXPECT_EQ(client.status, 0) << client.out << client.err;
  EXPECT_THAT(client.out, HasSubstr("2001:db8::55"));
}

TEST_F(Ipv6Guest, PublishedTcpPortIsReachedAtTheHostsLoopback) {
  Process server = Process::start(in_guest({"sh", "-c", "gb-echo --listen [::]:7 2>&1"}));
  while (server.output().find("serving on [::]:7") == std::string::npos)
    std::this_thread::yield();
  const net::SocketAddress address(net::kLoopback6, published_tcp_);
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(fd.get(), address.get(), address.length()), 0);
  char byte = 'q';
  ASSERT_EQ(::send(fd.get(), &byte, 1, MSG_NOSIGNAL), 1);
  byte = 0;
  EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'q');
  EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), 0);
  server.signal(SIGTERM);
  (void)server.wait();
}

TEST_F(Ipv6Guest, PublishedUdpPortIsReachedAtTheHostsLoopback) {
  Process server = Process::start(in_guest({"datagram", "echo", "[::]:7"}));
  while (server.output() != "ready\n")
    std::this_thread::yield();
  const ProgramResult client =
      run({DATAGRAM_PROGRAM, "say", fmt::format("[::1]:{}", published_udp_), "good day"});
  EXPECT_EQ(client.out, "fd00:10:0:2::2 said good day\n");
  server.signal(SIGTERM);
  (void)server.wait();
}

}  // namespace
}  // namespace glassbox::test
