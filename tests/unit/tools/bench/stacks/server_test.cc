#include "tools/bench/stacks/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <fstream>
#include <thread>

#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) return {};
  return socket;
}

// Serves on a thread until its listener is shut down.
class EchoThread {
 public:
  explicit EchoThread(EchoOptions options)
      : listener_(*listen_on_loopback(0)), port_(*bound_port(listener_)) {
    if (options.poll_ms > 0) ::fcntl(listener_.get(), F_SETFL, O_NONBLOCK);
    thread_ = std::thread([this, options] {
      tid_ = ::gettid();
      tid_.notify_one();
      (void)serve_echo(listener_, options, served_);
    });
    tid_.wait(0);
  }
  ~EchoThread() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::uint16_t port() const { return port_; }
  std::uint64_t served() const { return served_.load(); }
  pid_t tid() const { return tid_; }

 private:
  UniqueFd listener_;
  std::uint16_t port_;
  std::atomic<std::uint64_t> served_{0};
  std::atomic<pid_t> tid_{0};
  std::thread thread_;
};

// What comes back until the server closes.
std::string exchange(std::uint16_t port, std::string_view request) {
  const UniqueFd socket = connect_to(port);
  EXPECT_TRUE(socket);
  EXPECT_EQ(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL), std::ssize(request));
  std::string reply;
  char byte = 0;
  while (::read(socket.get(), &byte, 1) == 1)
    reply += byte;
  return reply;
}

TEST(Echo, AnswersAndCloses) {
  EchoThread server({});
  EXPECT_EQ(exchange(server.port(), "A"), "A");
  EXPECT_EQ(exchange(server.port(), "B"), "B");
  EXPECT_EQ(exchange(server.port(), "C"), "C");
  // The reply of a connection is counted before the next one is accepted.
  EXPECT_GE(server.served(), 2u);
}

TEST(Echo, WaitsForTheWholeRequest) {
  EchoThread server({.request_bytes = 3});
  const UniqueFd socket = connect_to(server.port());
  ASSERT_EQ(::send(socket.get(), "ab", 2, 0), 2);
  ASSERT_EQ(::send(socket.get(), "c", 1, 0), 1);
  std::string reply(3, 0);
  EXPECT_EQ(::recv(socket.get(), reply.data(), 3, MSG_WAITALL), 3);
  EXPECT_EQ(reply, "abc");
}

TEST(Echo, OutlivesAClientThatSaysNothing) {
  EchoThread server({});
  (void)connect_to(server.port());  // closed at once
  EXPECT_EQ(exchange(server.port(), "A"), "A");
  EXPECT_EQ(exchange(server.port(), "A"), "A");
  EXPECT_LE(server.served(), 2u);
}

// The system call that a thread of ours is in; -1 while it runs.
long system_call_of(pid_t tid) {
  std::ifstream in(fmt::format("/proc/self/task/{}/syscall", tid));
  long number = -1;
  return in >> number ? number : -1;
}

// A client that comes when the server has looked in vain waits for the end of its sleep, and the server's own
// clock reads that sleep whole.
TEST(Echo, ThePollingServerSleepsBetweenLooks) {
  constexpr std::uint32_t kPollMs = 20;
  constexpr std::size_t kCycles = 5;
  const UniqueFd times(::memfd_create("times", MFD_CLOEXEC));
  ASSERT_TRUE(times);
  {
    EchoThread server({.poll_ms = kPollMs, .times_fd = times.get()});
    for (std::size_t k = 0; k < kCycles; ++k) {
      for (long call = 0; call != SYS_nanosleep && call != SYS_clock_nanosleep;)
        call = system_call_of(server.tid());
      EXPECT_EQ(exchange(server.port(), "A"), "A");
    }
  }
  std::array<std::uint64_t, kCycles> took_ns{};
  ASSERT_EQ(::pread(times.get(), took_ns.data(), sizeof(took_ns), 0), std::ssize(took_ns) * 8);
  for (const std::uint64_t ns : took_ns)
    EXPECT_GE(ns, kPollMs * std::uint64_t{1'000'000});
}

TEST(Echo, PortInUseNamesPortAndRemedy) {
  const auto first = listen_on_loopback(0);
  ASSERT_TRUE(first.has_value());
  const std::uint16_t port = *bound_port(*first);
  const auto second = listen_on_loopback(port);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("port {} is in use", port)));
  EXPECT_THAT(second.error().message, HasSubstr("--port"));
}

TEST(ListensOn, ReadsTheKernelsTable) {
  constexpr std::string_view kTable =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:1E61 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 "
      "0 0 10 0\n"
      "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 "
      "0 0 10 0\n"
      "   2: 0100007F:1E62 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 "
      "0 0 10 0\n"
      "   3: 0A00000A:1E63 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 "
      "0 0 10 0\n";
  EXPECT_TRUE(listens_on(kTable, 7777));
  EXPECT_TRUE(listens_on(kTable, 22));
  EXPECT_FALSE(listens_on(kTable, 7778));  // a connection, not a listener
  EXPECT_FALSE(listens_on(kTable, 7779));  // another address only
  EXPECT_FALSE(listens_on("", 7777));
  EXPECT_FALSE(listens_on(kTable, 7777, /*ipv6=*/true));  // on 127.0.0.1
}

TEST(ListensOn, OverIPv6AnyAddressAndLoopbackAre) {
  constexpr std::string_view kTable =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 00000000000000000000000001000000:1E61 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 "
      "1\n"
      "   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 "
      "2\n"
      "   2: 0000000000000000FFFF00000100007F:1E62 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 "
      "3\n";
  EXPECT_TRUE(listens_on(kTable, 7777, true));
  EXPECT_TRUE(listens_on(kTable, 22, true));
  EXPECT_FALSE(listens_on(kTable, 7778, true));  // mapped: IPv4 alone
  EXPECT_FALSE(listens_on(kTable, 7777));        // ::1 is not 127.0.0.1
  EXPECT_TRUE(listens_on(kTable, 22));
}

TEST(Server, ExternalMustBeThere) {
  auto listener = listen_on_loopback(0);
  const std::uint16_t port = *bound_port(*listener);
  const ServerSpec spec{ServerKind::kExternal, 0, port};
  const auto there = Server::start(spec, 0);
  ASSERT_TRUE(there.has_value()) << there.error().message;
  EXPECT_EQ(there->port(), port);
  EXPECT_EQ(there->served(), nullptr);
  listener->reset();
  const auto gone = Server::start(spec, 0);
  ASSERT_FALSE(gone.has_value());
  EXPECT_THAT(gone.error().message, HasSubstr(fmt::format("nothing listens on 127.0.0.1:{}", port)));
}

}  // namespace
}  // namespace glassbox::bench
