// Real programs behind the NAT, as people run them: curl, iperf3, dig, ping, wrk. The cases of a program that
// is not installed are skipped; tools/setup installs them all.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "net/inet.h"
#include "tests/netns/harness.h"
#include "tests/netns/http_server.h"

namespace glassbox {
namespace {

constexpr std::size_t kTransferBytes = GLASSBOX_SANITIZED ? 10'000'000 : 100'000'000;

bool installed(const std::string& program) {
  return run(sh("command -v " + program + " >/dev/null")).status == 0;
}

std::string self() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

std::string open_port(std::uint16_t port) {
  return "--allow-host-loopback=" + std::to_string(port);
}

bool has_ipv6() {
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const net::SocketAddress loopback(net::kLoopback6, 0);
  return fd && ::bind(fd.get(), loopback.get(), loopback.length()) == 0;
}

class Programs : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] static int family() { return GetParam(); }
  [[nodiscard]] static bool six() { return family() == AF_INET6; }
  [[nodiscard]] static std::string gateway() {
    return to_text(six() ? net::kGatewayIp6 : net::IpAddress::from_v4(net::kGatewayIp));
  }
  [[nodiscard]] static std::string name_server() {
    return to_text(six() ? net::kDnsIp6 : net::IpAddress::from_v4(net::kDnsIp));
  }
  [[nodiscard]] static std::string url(const HttpServer& server, const std::string& path) {
    const std::string host = six() ? "[" + gateway() + "]" : gateway();
    return "http://" + host + ":" + std::to_string(server.port()) + "/" + path;
  }
  static void iperf(const std::string& options);
  void SetUp() override {
    if (six() && !has_ipv6()) GTEST_SKIP() << "this machine has no IPv6, not even on its loopback";
    const std::string why = why_no_netns();
    if (HasFailure()) FAIL();
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

#define NEEDS(program) \
  if (!installed(program)) GTEST_SKIP() << (program) << " is not installed (tools/setup)"

TEST_P(Programs, CurlDownloadsAHundredMegabytes) {
  NEEDS("curl");
  HttpServer server(family());
  const std::string from = url(server, std::to_string(kTransferBytes));
  for (const char* mtu : {"1500", "65520"}) {
    const ProgramResult outcome = run(netns(sh("curl -sS --fail -g '" + from + "' | " + self() + " --digest"),
                                            {open_port(server.port()), "--mtu", mtu}));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(outcome.output, digest_of_sequence(kTransferBytes));
  }
}

TEST_P(Programs, CurlUploadsAHundredMegabytes) {
  NEEDS("curl");
  HttpServer server(family());
  const std::string bytes = std::to_string(kTransferBytes);
  const std::string to = url(server, "put");
  for (const char* mtu : {"1500", "65520"}) {
    // Content-Length, because curl does not know the length of a pipe, and this server accepts no chunked
    // encoding.
    const ProgramResult outcome = run(netns(sh(self() + " --sequence " + bytes +
                                               " | curl -sS --fail -T - -H 'Transfer-Encoding:' "
                                               "-H 'Content-Length: " +
                                               bytes + "' -g '" + to + "'"),
                                            {open_port(server.port()), "--mtu", mtu}));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(outcome.output, digest_of_sequence(kTransferBytes));
  }
}

// A port that was just free. If another program takes it, the server fails to start, and the test shows that.
std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

void Programs::iperf(const std::string& options) {
  const std::string port = std::to_string(free_port());
  Process server({"iperf3", "-s", "-1", "-B", six() ? "::1" : "127.0.0.1", "-p", port, "--forceflush"});
  ASSERT_NE(server.read_until("listening").find("listening"), std::string::npos);
  constexpr double kBytes = 50'000'000;
  const std::string command = "iperf3 -c " + gateway() + " -p " + port + " -n " +
                              std::to_string(static_cast<long>(kBytes)) + " --json " + options;
  const ProgramResult outcome = run(netns(sh(command), {"--allow-host-loopback=" + port}));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const auto report = nlohmann::json::parse(outcome.output, nullptr, false);
  ASSERT_FALSE(report.is_discarded()) << outcome.output;
  EXPECT_FALSE(report.contains("error")) << outcome.output;
  // The sender's count: the receiver stops counting once the sender has reported its end.
  EXPECT_GE(report["end"]["sum_sent"]["bytes"].get<double>(), kBytes) << outcome.output;
  EXPECT_GT(report["end"]["sum_received"]["bytes"].get<double>(), 0) << outcome.output;
  EXPECT_EQ(server.wait().status, 0);
}

TEST_P(Programs, IperfMovesWhatItIsToldBothWays) {
  NEEDS("iperf3");
  for (const char* options : {"", "-R", "-P 4", "-P 4 -R"})
    iperf(options);
}

// On connections that are kept, as a browser does, and with a new one for each request.
TEST_P(Programs, WrkBurstsHaveNoSocketErrors) {
  NEEDS("wrk");
  for (const char* header : {"Connection: keep-alive", "Connection: close"}) {
    HttpServer server(family());
    const std::string from = url(server, "2000");
    const ProgramResult outcome =
        run(netns({"wrk", "-t", "2", "-c", "64", "-d", "2s", "--timeout", "60s", "-H", header, from},
                  {open_port(server.port())}));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_NE(outcome.output.find("Requests/sec"), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.find("Socket errors"), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.find("Non-2xx"), std::string::npos) << outcome.output;
    EXPECT_GE(server.requests(), 64U);
  }
}

TEST_P(Programs, PingReachesTheGateway) {
  NEEDS("ping");
  const ProgramResult outcome = run(netns(sh("ping -n -c 5 -i 0.05 -s 1000 " + gateway())));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("5 received, 0% packet loss"), std::string::npos) << outcome.output;
}

// Answers every question with one A record, over UDP and TCP, on port 53 of a random address of 127/8, which
// is free with high probability.
class NameServer {
 public:
  NameServer() {
    std::random_device random;
    for (int attempt = 0; attempt < 10 && !udp_; ++attempt) {
      address_ = (127U << 24) | (random() & 0xffff'fcU) | (1U << 16) | 2;
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_port = htons(53);
      name.sin_addr.s_addr = htonl(address_);
      const UniqueFd* failed = nullptr;
      UniqueFd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      UniqueFd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::bind(udp.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) failed = &udp;
      if (::bind(tcp.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) failed = &tcp;
      if (failed != nullptr || ::listen(tcp.get(), 16) != 0) continue;
      udp_ = std::move(udp);
      tcp_ = std::move(tcp);
    }
    if (!udp_) return;
    threads_[0] = std::thread([this] { serve_udp(); });
    threads_[1] = std::thread([this] { serve_tcp(); });
  }
  ~NameServer() {
    if (!udp_) return;
    ::shutdown(udp_.get(), SHUT_RDWR);
    ::shutdown(tcp_.get(), SHUT_RDWR);
    for (std::thread& thread : threads_)
      thread.join();
  }
  [[nodiscard]] bool works() const { return static_cast<bool>(udp_); }
  [[nodiscard]] std::string address() const {
    in_addr address{htonl(address_)};
    return ::inet_ntoa(address);
  }

 private:
  // The question, then the answer, whose name points to the question's: A, IN, 60 s, 192.0.2.7.
  static std::string reply_to(const std::string& query) {
    constexpr std::size_t kHeader = 12;
    const auto end = query.find('\0', kHeader);
    if (query.size() < kHeader || end == std::string::npos || query.size() < end + 5) return {};
    std::string reply = query.substr(0, end + 5);
    reply[2] = static_cast<char>(reply[2] | 0x80);
    reply[3] = static_cast<char>(0x80);
    const std::array<char, 8> counts = {0, 1, 0, 1, 0, 0, 0, 0};
    reply.replace(4, counts.size(), counts.data(), counts.size());
    const std::array<char, 16> answer = {'\xc0', 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, '\xc0', 0, 2, 7};
    return reply.append(answer.data(), answer.size());
  }
  void serve_udp() {
    std::array<char, 2048> buffer;
    for (;;) {
      sockaddr_in from{};
      socklen_t length = sizeof(from);
      auto* name = reinterpret_cast<sockaddr*>(&from);
      const ssize_t n = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, name, &length);
      if (n <= 0) return;
      const std::string reply = reply_to(std::string(buffer.data(), static_cast<std::size_t>(n)));
      ::sendto(udp_.get(), reply.data(), reply.size(), 0, name, length);
    }
  }
  void serve_tcp() {
    for (;;) {
      const UniqueFd fd(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      std::array<char, 2048> buffer;
      std::array<unsigned char, 2> length;
      if (::recv(fd.get(), length.data(), 2, MSG_WAITALL) != 2) continue;
      const std::size_t bytes = length[0] * 256U + length[1];
      if (bytes > buffer.size()) continue;
      if (::recv(fd.get(), buffer.data(), bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) continue;
      const std::string reply = reply_to(std::string(buffer.data(), bytes));
      const std::string framed =
          std::string{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())} + reply;
      ::send(fd.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
    }
  }
  std::uint32_t address_ = 0;
  UniqueFd udp_, tcp_;
  std::array<std::thread, 2> threads_;
};

TEST_P(Programs, DigAsksTheNameServer) {
  NEEDS("dig");
  NameServer server;
  if (!server.works()) GTEST_SKIP() << "may not use port 53 of any loopback address";
  const ProgramResult outcome =
      run(netns(sh("dig +short +tries=1 +time=20 @" + name_server() +
                   " name.test && dig +short +tries=1 +time=20 @" + name_server() + " +tcp other.test"),
                {"--dns", server.address(), "--allow-host-loopback=53"}));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output, "192.0.2.7\n192.0.2.7\n");
}

INSTANTIATE_TEST_SUITE_P(Over, Programs, testing::Values(AF_INET, AF_INET6),
                         [](const auto& over) { return over.param == AF_INET ? "IPv4" : "IPv6"; });

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--digest") == 0) {
    const std::string text = glassbox::digest_of(0);
    return ::write(1, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1;
  }
  if (argc == 3 && std::strcmp(argv[1], "--sequence") == 0)
    return glassbox::write_sequence(1, std::stoul(argv[2])) ? 0 : 1;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
