// Traces and live figures of `glassbox netns` with clients from other projects, over both IP versions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "bpf/event_args.h"
#include "tests/delays/recording.h"
#include "tests/netns/harness.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/echo.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/flows.h"

namespace glassbox {
namespace {

constexpr int kRounds = 20;

std::string program(const std::string& name) {
  return bench::program_dir().parent_path() / name;
}

// Echo servers on 127.0.0.1 and ::1, with one port number.
class Servers {
 public:
  Servers() {
    for (int tries = 0; tries < 100 && children_.size() < 2; ++tries) {
      children_.clear();
      auto four = bench::listen_on_loopback(0);
      if (!four) continue;
      port_ = *bench::bound_port(*four);
      auto ipv6 = bench::listen_on({net::IpAddress{0, 1}, port_});
      if (!ipv6) continue;
      serve(*four);
      serve(*ipv6);
    }
  }
  [[nodiscard]] bool ready() const { return children_.size() == 2; }
  [[nodiscard]] std::string port() const { return std::to_string(port_); }

 private:
  void serve(const UniqueFd& listener) {
    auto child =
        bench::Child::start({.what = "gb-echo",
                             .argv = {program("gb-echo"), "--listen-fd", std::to_string(listener.get())},
                             .inherit = {listener.get()}});
    if (child) children_.push_back(std::move(*child));
  }
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<bench::Child>> children_;
};

class TracedNetns : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_netns(); !why.empty()) GTEST_SKIP() << why;
    if (::geteuid() != 0) GTEST_SKIP() << "tracing needs root";
    ASSERT_TRUE(servers_.ready());
    ASSERT_EQ(::mkfifo(go_.c_str(), 0600), 0);
  }

  // Starts the script in a namespace. It prints "up", then waits until `$go` is opened.
  [[nodiscard]] std::unique_ptr<Process> start(const std::string& script) const {
    auto client = std::make_unique<Process>(netns(
        {"sh", "-c", "echo up; read x < " + go_ + "; " + script + "; echo over"}, {"--allow-host-loopback"}));
    client->read_until("up\n");
    return client;
  }
  void go() const { std::ofstream(go_) << "go\n"; }

  // A traced run of the script to its end.
  [[nodiscard]] trace::Trace traced(const std::string& script) const {
    const auto client = start(script);
    auto recording =
        delays::Recording::start({"--pid", std::to_string(client->pid())}, dir_.path() / "trace");
    EXPECT_TRUE(recording.has_value()) << recording.error().message;
    if (!recording) return {};
    go();
    client->read_until("over\n");
    auto trace = recording->finish();
    EXPECT_TRUE(trace.has_value()) << trace.error().message;
    const ProgramResult outcome = client->wait();
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return trace ? std::move(*trace) : trace::Trace{};
  }

  static void expect_attributed(const trace::Attribution& cycles) {
    std::int64_t total = 0, unattributed = 0;
    for (const trace::CycleResult& c : cycles.cycles) {
      total += c.total_ns();
      unattributed += c.unattributed_ns;
    }
    EXPECT_LE(static_cast<double>(unattributed), 0.02 * static_cast<double>(total));
  }

  test::TempDir dir_;
  Servers servers_;
  std::string go_ = dir_.path() / "go";
};

TEST_F(TracedNetns, Ipv6CyclesAreAttributed) {
  const trace::Trace trace =
      traced(program("guest/gb-crr") + " fd00:10:0:2::2 " + servers_.port() + " --cycles 100 > /dev/null");
  const trace::Attribution cycles = trace::attribute(trace, trace::derive_clock(trace));
  EXPECT_EQ(cycles.cycles.size(), 100U);
  expect_attributed(cycles);
  const trace::HostFlows flows(trace);
  for (const trace::HostFlow& f : flows.flows()) {
    EXPECT_TRUE(f.ipv6);
    EXPECT_FALSE(f.remote_server) << "::1 is this host";
    EXPECT_NE(f.read, nullptr);
  }
}

// A Python client with one connection of each IP version at once, from the same port to the same port.
TEST_F(TracedNetns, APythonClientsConnectionsOfBothVersionsAreToldApart) {
  std::ofstream(dir_.path() / "client.py") << R"(
import socket, sys
port = int(sys.argv[1])
for k in range(int(sys.argv[2])):
    pair = []
    for family, here, host in ((socket.AF_INET, '0.0.0.0', '10.0.2.2'),
                               (socket.AF_INET6, '::', 'fd00:10:0:2::2')):
        s = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((here, 41000 + k))
        s.connect((host, port))
        pair.append(s)
    for s in pair:
        s.sendall(b'A')
    for s in pair:
        assert s.recv(1) == b'A'
    for s in pair:
        s.close()
)";
  const trace::Trace trace = traced("python3 " + (dir_.path() / "client.py").string() + " " +
                                    servers_.port() + " " + std::to_string(kRounds));
  const trace::Attribution cycles = trace::attribute(trace, trace::derive_clock(trace));
  ASSERT_EQ(cycles.cycles.size(), 2U * kRounds);
  expect_attributed(cycles);
  std::map<std::uint16_t, int> ipv4, ipv6;
  const trace::HostFlows flows(trace);
  for (const trace::HostFlow& f : flows.flows()) {
    ++(f.ipv6 ? ipv6 : ipv4)[f.guest_port];
    ASSERT_NE(f.accept, nullptr);
    EXPECT_EQ(trace::is_ipv6(args::host_accept(*f.accept).peer_hi, args::host_accept(*f.accept).peer_lo),
              f.ipv6)
        << "the other version's server";
  }
  EXPECT_EQ(ipv4.size(), static_cast<std::size_t>(kRounds));
  EXPECT_EQ(ipv4, ipv6);
}

// `glassbox-trace live` with the same client: every cycle is counted, and Ctrl-C ends it.
TEST_F(TracedNetns, LiveCountsCyclesAndEndsWithCtrlC) {
  constexpr int kCycles = 300;
  const auto client = start(program("guest/gb-crr") + " fd00:10:0:2::2 " + servers_.port() + " --cycles " +
                            std::to_string(kCycles) + " > /dev/null; read y < " + go_);
  Process live({program("glassbox-trace"), "live", "--json", "--interval", "0.2", "--pid",
                std::to_string(client->pid())});
  live.take_until("\n");  // the first line: all hooks are attached
  go();
  nlohmann::json snapshot;
  do {
    snapshot = nlohmann::json::parse(live.take_until("\n"), nullptr, false);
    ASSERT_TRUE(snapshot.is_object());
  } while (snapshot["cycles"] < kCycles);
  EXPECT_EQ(snapshot["cycles"], kCycles);
  EXPECT_EQ(snapshot["drops"], 0);
  EXPECT_GT(snapshot["last_10s"]["cycles"], 0);
  EXPECT_GT(snapshot["last_10s"]["total"]["p50_us"], 0);
  EXPECT_LE(snapshot["last_10s"]["unattributed_share"], 0.02);
  EXPECT_GT(snapshot["slowest"]["total_us"], 0);
  ::kill(live.pid(), SIGINT);
  EXPECT_EQ(live.wait().status, 0);
  // Without --json, one line for each interval; it ends when the process ends.
  Process lines({program("glassbox-trace"), "live", "--pid", std::to_string(client->pid())});
  EXPECT_THAT(lines.take_until("\n"), testing::HasSubstr(" cycles/s ("));
  go();
  EXPECT_EQ(client->wait().status, 0);
  const ProgramResult outcome = lines.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find('\x1b'), std::string::npos) << "no terminal";
}

}  // namespace
}  // namespace glassbox
