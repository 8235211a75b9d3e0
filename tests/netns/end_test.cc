// The end of `glassbox netns -- CMD`: what the command has sent arrives, though the command is gone and the
// peer reads late, whichever side opened the connection.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "tests/netns/harness.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

constexpr std::size_t kBytes = 12U << 20;  // more than the host's socket buffers take
constexpr const char* kWaits = "waiting until";

std::vector<std::string> self(const std::string& role, std::uint16_t port) {
  return {std::filesystem::read_symlink("/proc/self/exe"), "--role", role, std::to_string(port)};
}

UniqueFd bound_listener(const char* address, std::uint16_t& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  net::SocketAddress name(*net::ip_from_text(address), port);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  EXPECT_EQ(::bind(fd.get(), name.get(), name.length()), 0);
  EXPECT_EQ(::listen(fd.get(), 4), 0);
  EXPECT_EQ(::getsockname(fd.get(), name.get(), name.length_out()), 0);
  port = name.port();
  return fd;
}

// What can be read until the stream ends; error: 0 if it ended in an orderly way.
std::size_t count_to_the_end(int fd, int& error) {
  std::array<char, 65536> buffer;
  std::size_t bytes = 0;
  ssize_t n = 0;
  while ((n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0)
    bytes += static_cast<std::size_t>(n);
  error = n < 0 ? errno : 0;
  return bytes;
}

class NetnsEnd : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = why_no_netns();
    if (HasFailure()) FAIL();
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

TEST_F(NetnsEnd, AReaderThatIsLateGetsAllOfIt) {
  std::uint16_t port = 0;
  const UniqueFd listener = bound_listener("127.0.0.1", port);
  Process command(netns(self("send", port), {"--allow-host-loopback"}));
  const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // Nothing is read before the command is gone and the NAT waits for this reader.
  EXPECT_NE(command.read_until(kWaits).find(kWaits), std::string::npos);
  int error = 0;
  EXPECT_EQ(count_to_the_end(peer.get(), error), kBytes);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(command.wait().status, 5) << "the command's own status";
}

TEST_F(NetnsEnd, AClientOfAPublishedPortThatIsSlowGetsAllOfIt) {
  std::uint16_t port = 0;
  bound_listener("127.0.0.1", port).reset();  // a port that is free
  Process command(netns(self("serve", 80), {"--publish", std::to_string(port) + ":80"}));
  command.take_until("ready\n");
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const net::SocketAddress to(*net::ip_from_text("127.0.0.1"), port);
  ASSERT_EQ(::connect(client.get(), to.get(), to.length()), 0);
  EXPECT_NE(command.read_until(kWaits).find(kWaits), std::string::npos);
  int error = 0;
  EXPECT_EQ(count_to_the_end(client.get(), error), kBytes);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(command.wait().status, 5);
}

TEST_F(NetnsEnd, AReaderThatNeverReadsIsGivenUpWithAMessage) {
  std::uint16_t port = 0;
  const UniqueFd listener = bound_listener("127.0.0.1", port);
  Process command(netns(self("send", port), {"--allow-host-loopback", "--linger", "1"}));
  const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const ProgramResult outcome = command.wait();
  EXPECT_EQ(outcome.status, 5);
  EXPECT_NE(outcome.output.find("gave up 1 connection "), std::string::npos) << outcome.output;
  int error = 0;
  EXPECT_LT(count_to_the_end(peer.get(), error), kBytes);
  EXPECT_EQ(error, ECONNRESET) << "a part must not look like the whole";
}

TEST_F(NetnsEnd, ASignalCutsTheWaitShort) {
  for (const int signal : {SIGINT, SIGTERM}) {
    std::uint16_t port = 0;
    const UniqueFd listener = bound_listener("127.0.0.1", port);
    Process command(netns(self("send", port), {"--allow-host-loopback", "--linger", "86400"}));
    const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    command.take_until(kWaits);
    ::kill(command.pid(), signal);
    EXPECT_EQ(command.wait().status, 5);
  }
}

// The roles inside: exit with status 5 as soon as the kernel has all bytes.
int send_all_and_end(int fd) {
  const int room = 16 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
  const std::string data(kBytes, 'x');
  for (std::size_t at = 0; at < data.size();) {
    const ssize_t n = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return 1;
    at += static_cast<std::size_t>(n);
  }
  return 5;
}

int run_role(const std::string& role, std::uint16_t port) {
  if (role == "send") {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const net::SocketAddress to(*net::ip_from_text("10.0.2.2"), port);
    if (::connect(fd.get(), to.get(), to.length()) != 0) return 2;
    return send_all_and_end(fd.get());
  }
  const UniqueFd listener = bound_listener("0.0.0.0", port);
  if (::write(STDOUT_FILENO, "ready\n", 6) != 6) return 3;
  const UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return send_all_and_end(fd.get());
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--role") == 0) {
    return glassbox::run_role(argv[2], static_cast<std::uint16_t>(std::atoi(argv[3])));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
