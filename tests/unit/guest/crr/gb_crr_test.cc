// The program gb-crr against an echo server on a thread of the test.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

// Echoes on `connections` connections, one after the other. Closes the one with index `refused` at once.
class EchoServer {
 public:
  explicit EchoServer(int connections, int refused = -1, const char* at = "127.0.0.1") {
    const auto address = net::ip_from_text(at);
    net::SocketAddress name(*address, 0);
    listener_.reset(::socket(name.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), name.get(), name.length()), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    ::getsockname(listener_.get(), name.get(), name.length_out());
    port_ = name.port();
    thread_ = std::thread([this, connections, refused] {
      for (int i = 0; i < connections; ++i) {
        const UniqueFd fd(::accept(listener_.get(), nullptr, nullptr));
        if (i == refused) continue;
        std::array<char, 4096> bytes;
        for (ssize_t n = 0; (n = ::recv(fd.get(), bytes.data(), bytes.size(), 0)) > 0;) {
          (void)::send(fd.get(), bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
        }
      }
    });
  }
  ~EchoServer() { thread_.join(); }
  [[nodiscard]] int port() const { return port_; }

 private:
  UniqueFd listener_;
  int port_ = 0;
  std::thread thread_;
};

struct ProgramResult {
  int status;
  std::string out;
};

ProgramResult crr(const std::string& arguments) {
  std::FILE* pipe = ::popen((GB_CRR_PATH " " + arguments + " 2>/dev/null").c_str(), "r");
  ProgramResult result{-1, {}};
  std::array<char, 4096> bytes;
  while (const std::size_t n = std::fread(bytes.data(), 1, bytes.size(), pipe))
    result.out.append(bytes.data(), n);
  result.status = WEXITSTATUS(::pclose(pipe));
  return result;
}

TEST(GbCrr, TimesEveryCycle) {
  const EchoServer server(20);
  const ProgramResult result =
      crr("127.0.0.1 " + std::to_string(server.port()) + " --cycles 20 --payload 3000");
  EXPECT_EQ(result.status, 0);
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["cycles"], 20);
  EXPECT_EQ(report["failed"], 0);
  EXPECT_EQ(report["payload_bytes"], 3000);
  ASSERT_EQ(report["cycle_ns"].size(), 20U);
  std::uint64_t last_end = 0;
  for (const auto& cycle : report["cycle_ns"]) {
    EXPECT_GE(cycle[0].get<std::uint64_t>(), last_end);
    EXPECT_GT(cycle[1].get<std::uint64_t>(), 0U);
    last_end = cycle[0].get<std::uint64_t>() + cycle[1].get<std::uint64_t>();
  }
}

TEST(GbCrr, GoesOverIPv6) {
  net::SocketAddress loopback(net::kLoopback6, 0);
  const UniqueFd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(probe.get(), loopback.get(), loopback.length()) != 0) GTEST_SKIP() << "this machine has no ::1";
  const EchoServer server(10, -1, "::1");
  const ProgramResult result = crr("::1 " + std::to_string(server.port()) + " --cycles 10");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(nlohmann::json::parse(result.out)["cycle_ns"].size(), 10U);
}

TEST(GbCrr, FailedCycleIsCountedAndTheOthersRun) {
  const EchoServer server(5, 2);
  const ProgramResult result = crr("127.0.0.1 " + std::to_string(server.port()) + " --cycles 5");
  EXPECT_EQ(result.status, 1);
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report["failed"], 1);
  EXPECT_EQ(report["cycle_ns"].size(), 4U);
  EXPECT_NE(report["first_error"].get<std::string>().find("cycle 2: "), std::string::npos);
}

TEST(GbCrr, WrongArgumentsAreStatus2) {
  for (const char* arguments :
       {"", "127.0.0.1", "host 1 --cycles 1", "127.0.0.1 0 --cycles 1", "127.0.0.1 80",
        "127.0.0.1 80 --cycles 0", "127.0.0.1 80 --cycles x", "127.0.0.1 80 --cycles", "[::1] 80 --cycles 1",
        "::1 0 --cycles 1", "::1:80 --cycles 1"}) {
    EXPECT_EQ(crr(arguments).status, 2) << arguments;
  }
}

}  // namespace
}  // namespace glassbox
