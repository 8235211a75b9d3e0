// glassbox-bench as its user meets it, on the loopback stack: no guest needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/bench/process/child.h"
#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Outcome {
  int status = -1;
  std::string out, err;
};

std::unique_ptr<Child> start(std::vector<std::string> more) {
  const auto bench =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "glassbox-bench";
  std::vector<std::string> argv{bench, "crr"};
  argv.insert(argv.end(), more.begin(), more.end());
  auto child = Child::start({.what = "glassbox-bench", .argv = std::move(argv), .stop_signal = SIGINT});
  EXPECT_TRUE(child.has_value());
  return std::move(*child);
}

Outcome crr(std::vector<std::string> more) {
  more.insert(more.begin(), {"--stack", "loopback"});
  const auto child = start(std::move(more));
  while (!child->wait(1000)) {
  }
  return {child->reap()->code, child->out(), child->err()};
}

nlohmann::json crr_json(std::vector<std::string> more) {
  more.insert(more.end(), {"--json", "-"});
  const Outcome outcome = crr(std::move(more));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return nlohmann::json::parse(outcome.out, nullptr, false);
}

// The pids whose parent is `pid`, from /proc.
std::vector<pid_t> children_of(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{0}/task/{0}/children", pid));
  std::vector<pid_t> pids;
  for (pid_t one = 0; in >> one;)
    pids.push_back(one);
  return pids;
}

TEST(BenchCli, ForkTimesEveryCycle) {
  const auto json = crr_json({"--workload", "fork", "--cycles", "30", "--warm-up", "2"});
  EXPECT_EQ(json["client"]["n"], 30);
  EXPECT_GT(json["client"]["p50_us"], 0);
  EXPECT_EQ(json["workload"]["server"], "blocking");
}

TEST(BenchCli, SingleTimesEveryCycle) {
  const auto json = crr_json({"--workload", "single", "--cycles", "1000"});
  EXPECT_EQ(json["client"]["n"], 1000);
  EXPECT_GT(json["client"]["p99_us"], 0);
}

TEST(BenchCli, BothWorkloadsGoOverIPv6) {
  if (!listen_on({net::kLoopback6, 0})) GTEST_SKIP() << "this machine has no ::1";
  for (const char* workload : {"fork", "single"}) {
    const auto json = crr_json({"--workload", workload, "--cycles", "20", "--warm-up", "0", "--ipv6"});
    EXPECT_EQ(json["client"]["n"], 20) << workload;
    EXPECT_THAT(json["title"].get<std::string>(), HasSubstr("over IPv6"));
  }
}

TEST(BenchCli, AnExternalServerOnIPv6IsUsed) {
  auto listener = listen_on({net::kLoopback6, 0});
  if (!listener) GTEST_SKIP() << "this machine has no ::1";
  const std::string port = std::to_string(*bound_port(*listener));
  std::atomic<std::uint64_t> served{0};
  std::thread server([&] { (void)serve_echo(*listener, {}, served); });
  const auto json = crr_json({"--cycles", "5", "--warm-up", "0", "--server", "external:[::1]:" + port});
  ::shutdown(listener->get(), SHUT_RDWR);
  server.join();
  EXPECT_EQ(json["client"]["n"], 5);
  EXPECT_EQ(served.load(), 5U);
  const Outcome nobody = crr({"--server", "external:[::1]:" + port});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.err, HasSubstr("nothing listens on [::1]:" + port));
}

// By hand: gb-echo where it was told, gb-crr to it.
TEST(BenchCli, TheEchoServerListensWhereItIsTold) {
  if (!listen_on({net::kLoopback6, 0})) GTEST_SKIP() << "this machine has no ::1";
  const auto build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  const auto echo = Child::start({.what = "gb-echo", .argv = {build / "gb-echo", "--listen", "[::1]:0"}});
  ASSERT_TRUE(echo.has_value());
  while ((*echo)->err().find('\n') == std::string::npos)
    ASSERT_FALSE((*echo)->wait(10)) << (*echo)->err();
  const std::string line = (*echo)->err();
  ASSERT_THAT(line, testing::StartsWith("gb-echo: serving on [::1]:"));
  const std::string port = line.substr(line.rfind(':') + 1, line.find('\n') - line.rfind(':') - 1);
  const auto client =
      Child::start({.what = "gb-crr", .argv = {build / "guest/gb-crr", "::1", port, "--cycles", "3"}});
  ASSERT_TRUE(client.has_value());
  while (!(*client)->wait(1000)) {
  }
  EXPECT_EQ((*client)->reap()->code, 0) << (*client)->err();
  for (const char* wrong : {"::1:7", "[::1]", "[::1]:x", "localhost:7", "127.0.0.1:65536"}) {
    const auto refused = Child::start({.what = "gb-echo", .argv = {build / "gb-echo", "--listen", wrong}});
    while (!(*refused)->wait(1000)) {
    }
    EXPECT_EQ((*refused)->reap()->code, 2) << wrong;
  }
}

TEST(BenchCli, AcceptPollIsThereAsJson) {
  const auto json = crr_json({"--case", "accept-poll", "--cycles", "20", "--warm-up", "0"});
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["case"], "accept-poll");
  EXPECT_EQ(json["stack"], "loopback");
  EXPECT_EQ(json["cycles"], 20);
  EXPECT_EQ(json["poll_ms"], 10);
  EXPECT_TRUE(json["machine"].contains("cpu"));
  ASSERT_EQ(json["runs"].size(), 3U);
  for (const auto& run : json["runs"]) {
    EXPECT_EQ(run["server_clock"]["n"], 20) << run;
    EXPECT_EQ(run["client_clock"]["n"], 20) << run;
    EXPECT_GT(run["client_clock"]["p50_us"], 0) << run;
    EXPECT_TRUE(run["report"].is_null()) << "loopback has nothing to trace";
  }
  EXPECT_EQ(json["runs"][0]["server"], "poll");
  // The sleep is in the polling server's clock, whatever the machine does.
  EXPECT_GE(json["runs"][0]["server_clock"]["p50_us"], 10'000);
  EXPECT_EQ(json["runs"][2]["workload"], "single");
  EXPECT_THAT(json["conclusion"].get<std::string>(), HasSubstr("the polling server's clock read"));
}

// How long a cycle waits depends on when its client comes; that the sleep is found where it is, is tested on
// a trace (tests/system/bench).
TEST(BenchCli, ThePollingServerServes) {
  const auto json =
      crr_json({"--workload", "single", "--cycles", "8", "--warm-up", "0", "--server", "poll:30"});
  EXPECT_EQ(json["client"]["n"], 8);
  EXPECT_EQ(json["workload"]["server"], "poll:30");
}

// The server looks for the next client as soon as it is done with the last: it finds nobody and sleeps, and
// what its own clock reads of a cycle is no less than that sleep. One that blocks in accept() needs no such
// time.
TEST(BenchCli, AcceptPollShowsTheServersClockBesideTheClients) {
  const Outcome outcome = crr({"--case", "accept-poll", "--cycles", "20", "--warm-up", "2"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("case accept-poll: 20 cycles a run, sleep of 10 ms"));
  EXPECT_THAT(outcome.out, HasSubstr("nc per cycle, server polls accept()"));
  EXPECT_THAT(outcome.out, HasSubstr("one process, server blocks"));
  EXPECT_THAT(outcome.out, HasSubstr("the polling server's clock read 1"));
  EXPECT_EQ(crr({"--case", "accept-poll", "--workload", "single"}).status, 2);
}

TEST(BenchCli, AnExternalServerIsUsed) {
  UniqueFd listener = *listen_on_loopback(0);
  const std::string port = std::to_string(*bound_port(listener));
  std::atomic<std::uint64_t> served{0};
  std::thread server([&] { (void)serve_echo(listener, {}, served); });
  const auto json =
      crr_json({"--workload", "fork", "--cycles", "5", "--warm-up", "0", "--server", "external:" + port});
  ::shutdown(listener.get(), SHUT_RDWR);
  server.join();
  EXPECT_EQ(json["client"]["n"], 5);
  EXPECT_EQ(served.load(), 5U);
}

// A server that answers something else has no figures.
TEST(BenchCli, AWrongReplyIsAnError) {
  UniqueFd listener = *listen_on_loopback(0);
  const std::string port = std::to_string(*bound_port(listener));
  std::thread server([&] {
    for (;;) {
      const UniqueFd client(::accept(listener.get(), nullptr, nullptr));
      if (!client) return;
      char byte = 0;
      if (::read(client.get(), &byte, 1) == 1) (void)!::write(client.get(), "B", 1);
    }
  });
  const Outcome outcome =
      crr({"--workload", "fork", "--cycles", "3", "--warm-up", "0", "--server", "external:" + port});
  ::shutdown(listener.get(), SHUT_RDWR);
  server.join();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("not the request"));
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST(BenchCli, ErrorsNameTheThing) {
  const UniqueFd taken = *listen_on_loopback(0);
  const std::string port = std::to_string(*bound_port(taken));
  Outcome outcome = crr({"--port", port});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("port " + port + " is in use"));
  outcome = crr({"--json", "/nonexistent/x.json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/x.json"));
}

TEST(BenchCli, UsageErrorsExitTwo) {
  for (const auto& wrong : std::vector<std::vector<std::string>>{
           {"--server", "poll:0"}, {"--workload", "x"}, {"--cycles", "0"}, {"--nope"}, {"--trace"}}) {
    EXPECT_EQ(crr(wrong).status, 2) << wrong.front();
  }
}

TEST(BenchCli, AServerThatDiesEndsTheRunWithOneLine) {
  const auto bench = start({"--stack", "loopback", "--server", "poll:500", "--cycles", "1000"});
  std::vector<pid_t> children;
  while ((children = children_of(bench->pid())).size() < 2)
    ASSERT_FALSE(bench->wait(10)) << bench->err();
  ::kill(children.front(), SIGKILL);  // the server is started first
  while (!bench->wait(1000)) {
  }
  EXPECT_EQ(bench->reap()->code, 1);
  EXPECT_THAT(last_line(bench->err()), HasSubstr("the echo server was ended by signal 9"));
}

TEST(BenchCli, CtrlCLeavesNothing) {
  const auto bench = start({"--stack", "loopback", "--server", "poll:500", "--cycles", "1000"});
  std::vector<pid_t> children;
  while ((children = children_of(bench->pid())).size() < 2)
    ASSERT_FALSE(bench->wait(10)) << bench->err();
  EXPECT_EQ(bench->stop(60'000).code, 128 + SIGINT);
  for (const pid_t pid : children)
    EXPECT_EQ(::kill(pid, 0), -1) << pid;
}

}  // namespace
}  // namespace glassbox::bench
