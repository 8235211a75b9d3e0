// Many short connections to several ports, then silence: the NAT keeps no flow, descriptor or memory of them.
// The long run is the same with other numbers:
//   GLASSBOX_CONNECTIONS=200000 GLASSBOX_IDLE_S=60 build/tests/netns_connections_test
// GLASSBOX_CONNECTIONS_JSON=FILE makes it write its figures to FILE (tools/bench/results/connections.json).
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/netns/harness.h"

namespace glassbox {
namespace {

constexpr std::size_t kPorts = 16;  // a port allows 28,232 connections before a source port must be reused
constexpr unsigned kThreads = 4;
constexpr unsigned kWarmUp = 400;
constexpr long kPageKb = 4;

long number_from_environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atol(text);
}

// Echoes one byte on many ports, in one thread. On ports of odd index the server ends the connection, on the
// others the client, so that each side has half of the connections in TIME_WAIT.
class Servers {
 public:
  Servers() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    int stop[2] = {};
    EXPECT_EQ(::pipe2(stop, O_CLOEXEC), 0);
    stop_read_.reset(stop[0]);
    stop_write_.reset(stop[1]);
    watch(stop_read_.get());
    for (std::size_t i = 0; i < kPorts; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t length = sizeof(address);
      auto* name = reinterpret_cast<sockaddr*>(&address);
      EXPECT_EQ(::bind(fd.get(), name, sizeof(address)), 0);
      EXPECT_EQ(::listen(fd.get(), 256), 0);
      EXPECT_EQ(::getsockname(fd.get(), name, &length), 0);
      ports.push_back(ntohs(address.sin_port));
      watch(fd.get());
      listeners_[fd.get()] = i;
      open_[fd.get()] = std::move(fd);
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Servers() {
    stop_write_.reset();
    thread_.join();
  }
  std::vector<std::uint16_t> ports;
  std::atomic<long> answered{0};

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), 0);
  }
  void run() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == stop_read_.get()) return;
        listeners_.contains(fd) ? accept(fd) : answer(fd);
      }
    }
  }
  void accept(int listener) {
    UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    ends_first_[fd.get()] = listeners_[listener] % 2 == 1;
    watch(fd.get());
    open_[fd.get()] = std::move(fd);
  }
  void answer(int fd) {
    char byte = 0;
    if (::recv(fd, &byte, 1, 0) == 1) {
      ++answered;
      ::send(fd, &byte, 1, MSG_NOSIGNAL);
      if (!ends_first_[fd]) return;
    }
    open_.erase(fd);
  }
  UniqueFd epoll_, stop_read_, stop_write_;
  std::map<int, std::size_t> listeners_;
  std::map<int, bool> ends_first_;
  std::map<int, UniqueFd> open_;
  std::thread thread_;
};

struct Footprint {
  long descriptors = 0;
  std::string names;  // what the descriptors refer to
  long resident_kb = 0;
  long wakes = 0;  // voluntary context switches
};

Footprint footprint_of(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  Footprint seen;
  for (const auto& entry : std::filesystem::directory_iterator(proc + "/fd")) {
    std::error_code gone;
    seen.names +=
        entry.path().filename().string() + " " + std::filesystem::read_symlink(entry, gone).string() + "\n";
    ++seen.descriptors;
  }
  std::ifstream status(proc + "/status");
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") status >> seen.resident_kb;
    if (word == "voluntary_ctxt_switches:") status >> seen.wakes;
  }
  return seen;
}

// The line about TCP flows in the NAT's counters.
std::string flows_line(Process& process) {
  ::kill(process.pid(), SIGUSR1);
  process.take_until("\nflows: ");
  return process.take_until("\n");
}

// Reads the counters until no flow is left: the guest's last frames and the NAT's own closing take a while.
bool becomes(const std::function<bool()>& condition) {
  for (int patience = 0; patience < 600; ++patience) {
    if (condition()) return true;
    ::usleep(100'000);  // between two readings
  }
  return false;
}

// Waits until the number of descriptors no longer changes: sockets are closed off the frame path, so one may
// outlive its flow for a short time.
Footprint settled_footprint(pid_t pid) {
  constexpr int kLooksAlike = 10;
  Footprint last = footprint_of(pid);
  for (int alike = 0; alike < kLooksAlike;) {
    ::usleep(20'000);  // between two readings
    Footprint seen = footprint_of(pid);
    alike = seen.descriptors == last.descriptors ? alike + 1 : 0;
    last = std::move(seen);
  }
  return last;
}

bool none_open(Process& process) {
  return becomes([&] { return flows_line(process).find(" 0 open") != std::string::npos; });
}

TEST(NetnsConnections, NothingIsLeftOfThem) {
  const std::string why = why_no_netns();
  if (HasFailure()) return;
  if (!why.empty()) GTEST_SKIP() << why;
  const long connections = number_from_environment("GLASSBOX_CONNECTIONS", GLASSBOX_SANITIZED ? 1600 : 8000);
  const long idle_s = number_from_environment("GLASSBOX_IDLE_S", 0);
  Servers servers;
  std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe"), "--connect",
                                      std::to_string(connections)};
  for (const std::uint16_t port : servers.ports)
    command.push_back(std::to_string(port));
  Process inside(netns(command, {"--allow-host-loopback"}));
  ASSERT_NE(inside.take_until("warm\n").find("warm"), std::string::npos);
  ASSERT_TRUE(none_open(inside));
  const Footprint before = settled_footprint(inside.pid());
  const auto begin = std::chrono::steady_clock::now();
  ::kill(inside.pid(), SIGUSR2);  // netns passes it on to its command
  const std::string said = inside.take_until("done\n");
  ASSERT_NE(said.find("done\n"), std::string::npos) << said;
  const double connecting_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(said.find("failed"), std::string::npos) << said;
  EXPECT_EQ(servers.answered, connections + kWarmUp);
  EXPECT_TRUE(none_open(inside)) << flows_line(inside);
  const Footprint quiet = settled_footprint(inside.pid());
  if (idle_s != 0) ::sleep(static_cast<unsigned>(idle_s));  // of the long run
  const Footprint after = footprint_of(inside.pid());
  const std::string flows = flows_line(inside);
  std::printf(
      "%ld connections, %ld s idle: descriptors %ld -> %ld, resident %ld -> %ld KB, %ld wake-ups while idle, "
      "flows: %s",
      connections, idle_s, before.descriptors, after.descriptors, before.resident_kb, after.resident_kb,
      after.wakes - quiet.wakes, flows.c_str());
  if (const char* path = std::getenv("GLASSBOX_CONNECTIONS_JSON"); path != nullptr) {
    const auto figures = [](const Footprint& seen) {
      return nlohmann::ordered_json{{"descriptors", seen.descriptors}, {"resident_kb", seen.resident_kb}};
    };
    utsname system{};
    ::uname(&system);
    const nlohmann::ordered_json report = {
        {"command", "netns_connections_test"},
        {"measured_at", fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)))},
        {"kernel", system.release},
        {"cpus", std::thread::hardware_concurrency()},
        {"poll", "adaptive"},
        {"connections", connections},
        {"destination_ports", kPorts},
        {"threads", kThreads},
        {"connecting_s", connecting_s},
        {"idle_s", idle_s},
        {"before", figures(before)},
        {"after", figures(after)},
        {"wakes_while_idle", after.wakes - quiet.wakes},
        {"flows", flows.substr(0, flows.find('\n'))}};
    std::ofstream(path) << report.dump(2) << "\n";
  }
  EXPECT_EQ(after.descriptors, before.descriptors) << before.names << "and now\n" << after.names;
  EXPECT_LE(after.resident_kb, before.resident_kb + 256 * kPageKb);
  EXPECT_LE(after.wakes - quiet.wakes, 2 + idle_s * 2);
  ::kill(inside.pid(), SIGTERM);
  EXPECT_EQ(inside.wait().status, 128 + SIGTERM);
}

// The part that runs in the namespace.
bool one_connection(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, "10.0.2.2", &address.sin_addr);
  char byte = 'x';
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
         ::send(fd.get(), &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(fd.get(), &byte, 1, 0) == 1;
}

int connect_many(long connections, const std::vector<std::uint16_t>& ports) {
  sigset_t go;
  sigemptyset(&go);
  sigaddset(&go, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &go, nullptr);
  std::atomic<long> failed{0};
  const auto make = [&](long count) {
    std::atomic<long> next{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (long i = next++; i < count; i = next++) {
          if (one_connection(ports[static_cast<std::size_t>(i) % ports.size()])) continue;
          if (failed++ == 0) std::printf("failed: %s\n", std::strerror(errno));
        }
      });
    }
    for (std::thread& thread : threads)
      thread.join();
  };
  make(kWarmUp);
  std::printf("warm\n");
  std::fflush(stdout);
  int number = 0;
  ::sigwait(&go, &number);
  make(connections);
  if (failed != 0) std::printf("failed: %ld\n", failed.load());
  std::printf("done\n");
  std::fflush(stdout);
  ::pause();
  return 0;
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc > 3 && std::strcmp(argv[1], "--connect") == 0) {
    std::vector<std::uint16_t> ports;
    for (int i = 3; i < argc; ++i)
      ports.push_back(static_cast<std::uint16_t>(std::atoi(argv[i])));
    return glassbox::connect_many(std::atol(argv[2]), ports);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
