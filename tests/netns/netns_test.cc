// Runs `glassbox netns` with real commands. This program itself is also the command in the namespace (see
// main()), so that no tool needs to be installed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "tests/netns/harness.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

std::vector<std::string> self(const std::string& role, std::uint16_t port) {
  return {std::filesystem::read_symlink("/proc/self/exe"), "--role", role, std::to_string(port)};
}

std::string file_text(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Netns : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = why_no_netns();
    if (HasFailure()) FAIL();
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

// An echo server on 127.0.0.1 that closes at the client's end of file.
class EchoServer {
 public:
  EchoServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) return;
        ++accepted;
        std::vector<char> buffer(65536);
        ssize_t n = 0;
        while ((n = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0) {
          for (ssize_t at = 0; at < n;) {
            const ssize_t sent =
                ::send(fd.get(), buffer.data() + at, static_cast<std::size_t>(n - at), MSG_NOSIGNAL);
            if (sent <= 0) break;
            at += sent;
          }
        }
      }
    });
  }
  ~EchoServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  std::atomic<int> accepted{0};

 private:
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(Netns, ExitStatusIsTheCommands) {
  EXPECT_EQ(run(netns(sh("exit 7"))).status, 7);
  EXPECT_EQ(run(netns(sh("kill -9 $$"))).status, 137);
  EXPECT_EQ(run(netns({"/no/such/command"})).status, 127);
  EXPECT_EQ(run(netns({"/etc/passwd"})).status, 126);
  EXPECT_EQ(run(netns(sh("exit 0"), {"--mtu", "7"})).status, 125);
  EXPECT_EQ(run(netns(sh("exit 0"), {"--nonsense"})).status, 125);
}

TEST_F(Netns, ResolverIsSetInsideAlone) {
  const std::string before = file_text("/etc/resolv.conf");
  EXPECT_EQ(run(netns(sh("cat /etc/resolv.conf"))).output,
            "nameserver 10.0.2.3\nnameserver fd00:10:0:2::3\n");
  EXPECT_EQ(file_text("/etc/resolv.conf"), before);
}

TEST_F(Netns, Ipv6IsConfiguredAtOnce) {
  const ProgramResult outcome = run(netns(sh("cat /proc/net/if_inet6; cat /proc/net/ipv6_route")));
  EXPECT_EQ(outcome.status, 0);
  // No address is tentative (0x40), so no program has to wait. 82: permanent, no duplicate address detection.
  EXPECT_NE(outcome.output.find("fd000010000000020000000000000015 02 40 00 82"), std::string::npos)
      << outcome.output;
  EXPECT_NE(outcome.output.find("00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                                "fd000010000000020000000000000002"),
            std::string::npos)
      << outcome.output;
}

TEST_F(Netns, CyclesReachTheHostsLoopbackOnlyWhenItIsOpen) {
  EchoServer server;
  const ProgramResult open = run(netns(self("cycles", server.port()), {"--allow-host-loopback"}));
  EXPECT_EQ(open.status, 0) << open.output;
  EXPECT_EQ(server.accepted, 200);
  const ProgramResult closed = run(netns(self("cycles", server.port())));
  EXPECT_EQ(closed.status, 1);
  EXPECT_NE(closed.output.find("Connection refused"), std::string::npos) << closed.output;
  EXPECT_EQ(server.accepted, 200);
}

TEST_F(Netns, LoopbackPortsAndDeniedNetworksAreKept) {
  EchoServer server;
  const std::string port = std::to_string(server.port());
  const auto cycles = self("cycles", server.port());
  const ProgramResult named = run(netns(cycles, {"--allow-host-loopback=" + port}));
  EXPECT_EQ(named.status, 0) << named.output;
  EXPECT_EQ(run(netns(cycles, {"--allow-host-loopback=1"})).status, 1);
  EXPECT_EQ(run(netns(cycles, {"--allow-host-loopback", "--deny", "10.0.2.2"})).status, 1);
  EXPECT_EQ(server.accepted, 200);
}

TEST_F(Netns, BadValuesAreOneLine) {
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{
           {"--deny", "10.0.0.1/8"}, {"--dns", "name"}, {"--publish", "80"}, {"--mtu", "7"}}) {
    const ProgramResult outcome = run(netns(sh("exit 0"), {option, value}));
    EXPECT_EQ(outcome.status, 125);
    EXPECT_TRUE(outcome.output.starts_with("glassbox: " + option)) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
}

// A port that was just free on the loopback address of the family; 0 if the machine lacks the family.
std::uint16_t free_port(const net::IpAddress& loopback) {
  net::SocketAddress address(loopback, 0);
  const UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::bind(fd.get(), address.get(), address.length()) != 0) return 0;
  return ::getsockname(fd.get(), address.get(), address.length_out()) == 0 ? address.port() : 0;
}

TEST_F(Netns, PublishedPortReachesTheCommand) {
  struct Family {
    net::IpAddress loopback;
    std::string option, role, gateway;
  };
  const std::vector<Family> families = {
      {net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1)), "127.0.0.1:", "serve", "10.0.2.2"},
      {net::kLoopback6, "[::1]:", "serve6", "fd00:10:0:2::2"}};
  for (const Family& family : families) {
    const std::uint16_t port = free_port(family.loopback);
    if (port == 0) GTEST_SKIP() << "this machine has no ::1";
    const net::SocketAddress address(family.loopback, port);
    Process inside(
        netns(self(family.role, 8000), {"--publish", family.option + std::to_string(port) + ":8000"}));
    inside.read_until("ready");
    const UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(fd.get(), address.get(), address.length()), 0);
    const std::string request = "from the host";
    ASSERT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    ::shutdown(fd.get(), SHUT_WR);
    std::string answer;
    char byte = 0;
    while (::recv(fd.get(), &byte, 1, 0) == 1)
      answer += byte;
    EXPECT_EQ(answer, family.gateway + " says " + request);
    EXPECT_EQ(inside.wait().status, 0);
  }
}

TEST_F(Netns, MegabytesComeBackIntact) {
  EchoServer server;
  for (const char* mtu : {"1500", "65520"}) {
    const ProgramResult outcome =
        run(netns(self("bulk", server.port()), {"--allow-host-loopback", "--mtu", mtu}));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
  }
}

TEST_F(Netns, SignalsArePassedOn) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    Process process(
        netns(sh("trap 'echo got it; exit 5' TERM INT HUP; echo ready; while :; do sleep 0.01; done")));
    process.read_until("ready\n");
    ::kill(process.pid(), number);
    const ProgramResult outcome = process.wait();
    EXPECT_EQ(outcome.status, 5);
    EXPECT_EQ(outcome.output, "ready\ngot it\n");
  }
}

// The pipe reaches end of file when its last holder is gone, and processes in the background hold it, too.
TEST_F(Netns, NothingOutlivesUs) {
  Process process(
      netns(sh("sleep 1000 & setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000' & echo ready; exec "
               "sleep 1000")));
  process.read_until("ready\n");
  ::kill(process.pid(), SIGKILL);
  EXPECT_EQ(process.wait().status, 137);
}

TEST_F(Netns, NothingOutlivesTheCommand) {
  const ProgramResult outcome =
      run(netns(sh("sleep 1000 & setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & exit 4")));
  EXPECT_EQ(outcome.status, 4);
}

// As a terminal does: the signal goes to the whole foreground process group at once. The command must get it
// once.
TEST_F(Netns, InterruptOfTheTerminalReachesTheCommandOnce) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  const UniqueFd owner(terminal);
  ASSERT_EQ(::grantpt(terminal) | ::unlockpt(terminal), 0);
  std::vector<std::string> words = sh("exec setsid -c -w \"$0\" \"$@\" <" + std::string(::ptsname(terminal)));
  const auto command = netns(sh("trap 'echo caught' INT; echo ready; until read line; do :; done; exit 6"));
  words.insert(words.end(), command.begin(), command.end());
  Process process(words);
  process.read_until("ready\n");
  ASSERT_EQ(::write(terminal, "\x03", 1), 1);
  process.read_until("caught\n");
  ASSERT_EQ(::write(terminal, "a\n", 2), 2);
  const ProgramResult outcome = process.wait();
  EXPECT_EQ(outcome.status, 6);
  EXPECT_EQ(outcome.output, "ready\ncaught\n");
}

TEST_F(Netns, Sigusr1PrintsTheCounters) {
  Process process(netns(sh("echo ready; read line"), {}));
  process.read_until("ready\n");
  ::kill(process.pid(), SIGUSR1);
  EXPECT_NE(process.read_until("flows: ").find("guest frames: "), std::string::npos);
}

TEST_F(Netns, OrdinaryUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else; the other tests ran as a user";
  constexpr uid_t kNobody = 65534;
  const ProgramResult outcome = run(netns(sh("id -u; cat /etc/resolv.conf; exit 3")), kNobody);
  if (outcome.status == 97) GTEST_SKIP() << "may not make a device node here";
  EXPECT_EQ(outcome.status, 3) << outcome.output;
  EXPECT_EQ(outcome.output, "65534\nnameserver 10.0.2.3\nnameserver fd00:10:0:2::3\n");
  EchoServer server;
  const ProgramResult cycles =
      run(netns(self("cycles", server.port()), {"--allow-host-loopback=" + std::to_string(server.port())}),
          kNobody);
  EXPECT_EQ(cycles.status, 0) << cycles.output;
  EXPECT_EQ(server.accepted, 200);
}

UniqueFd connect_to_gateway(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, "10.0.2.2", &address.sin_addr);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  return fd;
}

// Roles of this program inside the namespace.
int cycles(std::uint16_t port) {
  for (int i = 0; i < 200; ++i) {
    const UniqueFd fd = connect_to_gateway(port);
    char byte = static_cast<char>(i);
    if (::write(fd.get(), &byte, 1) != 1) return 2;
    ::shutdown(fd.get(), SHUT_WR);
    if (::read(fd.get(), &byte, 1) != 1 || byte != static_cast<char>(i)) return 3;
    if (::read(fd.get(), &byte, 1) != 0) return 4;
  }
  return 0;
}

int serve(const net::IpAddress& any, std::uint16_t port) {
  const net::SocketAddress address(any, port);
  const UniqueFd listener(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(listener.get(), address.get(), address.length()) != 0) return 1;
  if (::listen(listener.get(), 1) != 0 || ::write(1, "ready", 5) != 5) return 2;
  net::SocketAddress peer;
  const UniqueFd fd(::accept(listener.get(), peer.get(), peer.length_out()));
  std::string answer = net::to_text(peer.address()) + " says ";
  char byte = 0;
  while (::recv(fd.get(), &byte, 1, 0) == 1)
    answer += byte;
  return ::send(fd.get(), answer.data(), answer.size(), 0) == static_cast<ssize_t>(answer.size()) ? 0 : 3;
}

int bulk(std::uint16_t port) {
  constexpr std::size_t kBytes = 30'000'000;
  std::string data(kBytes, '\0');
  std::uint32_t state = 1;
  for (char& c : data)
    c = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  const UniqueFd fd = connect_to_gateway(port);
  std::thread writer([&] {
    for (std::size_t at = 0; at < kBytes;) {
      const ssize_t n = ::write(fd.get(), data.data() + at, kBytes - at);
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    ::shutdown(fd.get(), SHUT_WR);
  });
  std::string back;
  std::vector<char> buffer(1 << 17);
  ssize_t n = 0;
  while ((n = ::read(fd.get(), buffer.data(), buffer.size())) > 0)
    back.append(buffer.data(), static_cast<std::size_t>(n));
  writer.join();
  return back == data ? 0 : 5;
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--role") {
    const auto port = static_cast<std::uint16_t>(std::stoi(argv[3]));
    const std::string role = argv[2];
    if (role == "serve") return glassbox::serve(glassbox::net::IpAddress::from_v4(0), port);
    if (role == "serve6") return glassbox::serve(glassbox::net::kUnspecified6, port);
    return role == "cycles" ? glassbox::cycles(port) : glassbox::bulk(port);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
