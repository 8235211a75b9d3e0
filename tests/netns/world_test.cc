// What a guest gets from a network with routers in it: ping, traceroute, errors, name servers, published UDP.
// Uses busybox's programs, because the guest has them. Roles of this program (see main()) do what busybox
// cannot: distinguish errors.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <thread>

#include "net/address_text.h"
#include "net/host/host_error.h"
#include "net/host/socket_address.h"
#include "tests/netns/world.h"
#include "tests/unit/net/dns/dns_builder.h"

namespace glassbox {
namespace {

using net::octets;

std::vector<std::string> self(std::vector<std::string> role) {
  std::vector<std::string> words = {std::filesystem::read_symlink("/proc/self/exe"), "--role"};
  words.insert(words.end(), role.begin(), role.end());
  return words;
}

TEST_F(NetnsWorld, PingGoesOutAndComesBack) {
  const ProgramResult outcome =
      run(netns({"busybox", "ping", "-c", "3", "-i", "0.01", "-W", "20", World::kFar}));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("3 packets received"), std::string::npos) << outcome.output;
}

TEST_F(NetnsWorld, TracerouteShowsEveryHop) {
  const std::vector<std::string> trace = {"busybox", "traceroute", "-n", "-q", "1", "-w", "20", "-m", "6"};
  for (const bool icmp : {false, true}) {
    auto words = trace;
    if (icmp) words.push_back("-I");
    words.push_back(World::kFar);
    const ProgramResult outcome = run(netns(words));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    std::size_t at = 0;
    for (const std::string hop : {"10.0.2.2", World::kRouter, World::kFar}) {
      at = outcome.output.find("  " + hop, at);
      EXPECT_NE(at, std::string::npos) << hop << " is missing, or late: " << outcome.output;
    }
  }
}

TEST_F(NetnsWorld, TracerouteShowsEveryHopOverIPv6) {
  if (!world->has_ipv6()) GTEST_SKIP() << "this kernel has no IPv6";
  const ProgramResult outcome =
      run(netns({"busybox", "traceroute6", "-n", "-q", "1", "-w", "20", "-m", "6", World::kFar6}));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  std::size_t at = 0;
  for (const std::string hop : {"fd00:10:0:2::2", World::kRouter6, World::kFar6}) {
    at = outcome.output.find("  " + hop, at);
    EXPECT_NE(at, std::string::npos) << hop << " is missing, or late: " << outcome.output;
  }
}

// As tcptraceroute does: SYNs with a limited number of hops.
TEST_F(NetnsWorld, SynsThatCountHopsShowEveryHop) {
  Process server(world->far(self({"accept"})));
  server.read_until("ready\n");
  std::vector<std::vector<std::string>> families = {{World::kFar, "10.0.2.2", World::kRouter}};
  if (world->has_ipv6()) families.push_back({World::kFar6, "fd00:10:0:2::2", World::kRouter6});
  for (const auto& hops : families) {
    const std::string& far = hops[0];
    EXPECT_EQ(
        run(netns(self({"hops", far, "4"}))).output,
        "1 time exceeded: " + hops[1] + "\n2 time exceeded: " + hops[2] + "\n3 connected\n4 connected\n");
    EXPECT_EQ(run(netns(self({"hops", far, "3", "9"}))).output,
              "1 time exceeded: " + hops[1] + "\n2 time exceeded: " + hops[2] + "\n3 Connection refused\n");
  }
}

TEST_F(NetnsWorld, ErrorsOfTheNetworkReachTheProgram) {
  const auto said = [&](const std::string& protocol, const std::string& address) {
    return run(netns(self({"try", protocol, address}))).output;
  };
  EXPECT_EQ(said("udp", World::kFar), "Connection refused\n");
  EXPECT_EQ(said("udp", "203.0.113.9"), "No route to host\n");
  EXPECT_EQ(said("udp", "192.88.99.9"), "No route to host\n");  // what Linux makes of "prohibited"
  EXPECT_EQ(said("tcp", World::kFar), "Connection refused\n");
  EXPECT_EQ(said("tcp", "203.0.113.9"), "No route to host\n");
}

TEST_F(NetnsWorld, RefusalsOfThePolicyComeAtOnce) {
  const auto said = [&](const std::string& protocol) {
    return run(netns(self({"try", protocol, World::kFar}), {"--deny", "198.51.100.0/24"})).output;
  };
  EXPECT_EQ(said("udp"), "No route to host\n");
  EXPECT_EQ(said("tcp"), "Connection refused\n");
  const ProgramResult ping =
      run(netns({"busybox", "ping", "-c", "1", "-W", "1", World::kFar}, {"--deny", "198.51.100.0/24"}));
  EXPECT_NE(ping.status, 0);
}

TEST_F(NetnsWorld, NamesAreResolvedOverUdpAndTcpAndKept) {
  Process server(world->far(self({"dns"})));
  server.read_until("ready\n");
  // nslookup repeats the same name; the roles ask for the others.
  const std::string program = self({})[0] + " --role";
  const std::string script = "for i in 1 2 3; do busybox nslookup -type=a known.test || exit 1; done; " +
                             program + " ask udp large.test && " + program + " ask tcp large.test && " +
                             program + " ask udp none.test && " + program + " ask udp none.test";
  const ProgramResult outcome = run(netns(sh(script), {"--dns", World::kFar}));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  std::size_t answers = 0;
  for (std::size_t at = 0; (at = outcome.output.find("192.0.2.55", at)) != std::string::npos; ++at)
    ++answers;
  EXPECT_EQ(answers, 3U) << outcome.output;
  EXPECT_NE(outcome.output.find("udp large.test: rcode 0, truncated, 28 bytes\n"), std::string::npos)
      << outcome.output;
  EXPECT_NE(outcome.output.find("tcp large.test: rcode 0, 3027 bytes\n"), std::string::npos)
      << outcome.output;
  EXPECT_NE(outcome.output.find("none.test: rcode 3"), std::string::npos) << outcome.output;
  EXPECT_EQ(run(world->far(self({"ask", "udp", "stop.test", World::kFar}))).status, 0);
  const std::string asked = server.wait().output;
  EXPECT_EQ(asked, "ready\nudp known.test\nudp large.test\ntcp large.test\nudp none.test\nudp stop.test\n");
}

TEST_F(NetnsWorld, PublishedUdpPortIsReachedFromAfar) {
  Process inside(netns(self({"echo"}), {"--publish", "192.0.2.1:7777:7/udp"}));
  inside.read_until("ready\n");
  for (const char* text : {"one", "two"}) {
    const ProgramResult outcome = run(world->far(self({"say", "192.0.2.1", text})));
    EXPECT_EQ(outcome.output, std::string("198.51.100.9 said ") + text + "\n");
  }
}

// Roles.

UniqueFd socket_to(int type, const std::string& address, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const timeval patience{30, 0};  // ends a test that would hang
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
    std::cout << std::strerror(errno) << "\n";
    std::exit(0);
  }
  return fd;
}

UniqueFd bound(int type, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) std::exit(3);
  return fd;
}

// Sends a datagram and prints the error that results. A router sends "unreachable" once a second to each host
// (Linux's ip_error() in route.c), so the datagram is repeated, as a resolver does.
int try_one(const std::string& protocol, const std::string& address) {
  const UniqueFd fd = socket_to(protocol == "tcp" ? SOCK_STREAM : SOCK_DGRAM, address, 9);
  const int on = 1;  // otherwise the socket does not report a datagram's "unreachable"
  ::setsockopt(fd.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
  const timeval wait{2, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  char byte = 0;
  ssize_t got = -1;
  int error = EAGAIN;
  for (int times = 0; times < 15 && got < 0 && error == EAGAIN; ++times) {
    (void)!::send(fd.get(), &byte, 1, MSG_NOSIGNAL);
    got = ::recv(fd.get(), &byte, 1, 0);
    error = errno;
  }
  if (got < 0) std::cout << std::strerror(error) << "\n";
  return 0;
}

// For the name server below, which prints each question until one is for stop.test: its reply to a message.
std::string dns_reply(const std::string& message, bool tcp, std::string& name) {
  const auto query = net::parse_dns_query(octets(message));
  if (!query) return {};
  name.clear();
  for (std::size_t at = 0; query->question[at] != 0; at += std::size_t{1} + query->question[at]) {
    if (!name.empty()) name += '.';
    name.append(reinterpret_cast<const char*>(&query->question[at + 1]), query->question[at]);
  }
  net::DnsSpec spec = net::dns_answer(60, {'\xc0', '\0', '\2', '\x37'});
  spec.id = query->id;
  spec.name = name;
  if (name == "none.test") {
    spec.flags |= 3;
    spec.answer = {};
    spec.answers = 0;
    spec.authority = net::dns_soa(net::dns_name("test"), 60, 60);
    spec.authorities = 1;
  } else if (name == "large.test") {
    spec.answer = tcp ? net::dns_record(net::kToQuestion, 16, 60, std::string(2987, 'x')) : "";
    spec.answers = tcp ? 1 : 0;
    if (!tcp) spec.flags |= net::kDnsTruncated;
  }
  return net::dns_message(spec);
}

int serve_dns() {
  const UniqueFd udp = bound(SOCK_DGRAM, 53);
  const UniqueFd tcp = bound(SOCK_STREAM, 53);
  ::listen(tcp.get(), 8);
  std::cout << "ready" << std::endl;
  std::thread([&tcp] {
    for (;;) {
      const UniqueFd fd(::accept(tcp.get(), nullptr, nullptr));
      std::array<char, 2> length{};
      if (::recv(fd.get(), length.data(), 2, MSG_WAITALL) != 2) continue;
      std::string message(net::load_be16(reinterpret_cast<std::uint8_t*>(length.data())), '\0');
      if (::recv(fd.get(), message.data(), message.size(), MSG_WAITALL) < 0) continue;
      std::string name;
      const std::string reply = dns_reply(message, true, name);
      std::cout << "tcp " << name << std::endl;
      const std::string framed = net::be16(static_cast<unsigned>(reply.size())) + reply;
      (void)!::send(fd.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
    }
  }).detach();
  for (;;) {
    std::string message(2000, '\0');
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    const ssize_t n =
        ::recvfrom(udp.get(), message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (n < 0) return 1;
    message.resize(static_cast<std::size_t>(n));
    std::string name;
    const std::string reply = dns_reply(message, false, name);
    std::cout << "udp " << name << std::endl;
    ::sendto(udp.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
    if (name == "stop.test") std::_Exit(0);
  }
}

int ask(const std::string& protocol, const std::string& name, const std::string& server) {
  const bool tcp = protocol == "tcp";
  const UniqueFd fd = socket_to(tcp ? SOCK_STREAM : SOCK_DGRAM, server, 53);
  std::string query = net::dns_message({.name = name});
  if (tcp) query = net::be16(static_cast<unsigned>(query.size())) + query;
  (void)!::send(fd.get(), query.data(), query.size(), MSG_NOSIGNAL);
  std::string reply(65536, '\0');
  if (tcp) ::recv(fd.get(), reply.data(), 2, MSG_WAITALL);
  const ssize_t n = ::recv(fd.get(), reply.data(), reply.size(), tcp ? MSG_WAITALL : 0);
  if (n < 12) return 1;
  const unsigned flags = net::load_be16(reinterpret_cast<std::uint8_t*>(reply.data()) + 2);
  std::cout << protocol << " " << name << ": rcode " << (flags & 15)
            << ((flags & net::kDnsTruncated) ? ", truncated" : "") << ", " << n << " bytes\n";
  return 0;
}

int echo() {
  const UniqueFd fd = bound(SOCK_DGRAM, 7);
  std::cout << "ready" << std::endl;
  for (;;) {
    std::string text(2000, '\0');
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    const ssize_t n =
        ::recvfrom(fd.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (n < 0) return 1;
    std::array<char, INET_ADDRSTRLEN> name{};
    ::inet_ntop(AF_INET, &peer.sin_addr, name.data(), name.size());
    const std::string answer =
        std::string(name.data()) + " said " + text.substr(0, static_cast<std::size_t>(n));
    ::sendto(fd.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
  }
}

// Connects once with each hop limit up to `most`, and prints how each attempt ended.
int count_hops(const std::string& address, int most, std::uint16_t port) {
  const net::SocketAddress to(*net::ip_from_text(address), port);
  const bool v6 = to.family() == AF_INET6;
  for (int hops = 1; hops <= most; ++hops) {
    const UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    ::setsockopt(fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, &hops,
                 sizeof(hops));
    net::queue_host_errors(fd.get(), v6);
    const bool connected = ::connect(fd.get(), to.get(), to.length()) == 0;
    const int error = errno;
    std::array<std::uint8_t, 256> quotation;
    net::HostError told;
    std::cout << hops << " ";
    if (connected) {
      std::cout << "connected\n";
    } else if (net::take_host_error(fd.get(), quotation, told) && told.type == (v6 ? 3 : 11)) {
      std::cout << "time exceeded: " << net::to_text(told.offender) << "\n";
    } else {
      std::cout << std::strerror(error) << "\n";
    }
  }
  return 0;
}

// Accepts connections of both families on port 7777.
int accept_all() {
  const net::SocketAddress at(net::kUnspecified6, 7777);
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(fd.get(), at.get(), at.length()) != 0 || ::listen(fd.get(), 16) != 0) return 3;
  std::cout << "ready" << std::endl;
  for (;;)
    const UniqueFd connection(::accept(fd.get(), nullptr, nullptr));
}

int say(const std::string& address, const std::string& text) {
  const UniqueFd fd = socket_to(SOCK_DGRAM, address, 7777);
  (void)!::send(fd.get(), text.data(), text.size(), 0);
  std::string answer(2000, '\0');
  const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
  if (n < 0) return 1;
  std::cout << answer.substr(0, static_cast<std::size_t>(n)) << "\n";
  return 0;
}

int play(const std::vector<std::string>& words) {
  const auto word = [&](std::size_t i) { return i < words.size() ? words[i] : std::string(); };
  if (word(0) == "try") return try_one(word(1), word(2));
  if (word(0) == "dns") return serve_dns();
  if (word(0) == "ask") return ask(word(1), word(2), words.size() > 3 ? word(3) : "10.0.2.3");
  if (word(0) == "echo") return echo();
  if (word(0) == "accept") return accept_all();
  if (word(0) == "hops") {
    const std::string port = words.size() > 3 ? words[3] : "7777";
    return count_hops(word(1), std::stoi(word(2)), static_cast<std::uint16_t>(std::stoi(port)));
  }
  return say(word(1), word(2));
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc > 2 && std::string(argv[1]) == "--role") return glassbox::play({argv + 2, argv + argc});
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
