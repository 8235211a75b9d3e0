// `glassbox-bench compare` when things go wrong, on real stacks: Ctrl-C in every phase, a stack that dies or
// stops in the midst of a run, one that does not come up.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/netns/compare_run.h"
#include "tests/netns/harness.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/native_stack.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The stacks that this machine has, of those that carry packets in a process of their own.
std::string stacks() {
  std::string all = "glassbox-netns";
  for (const char* peer : {"pasta", "slirp4netns"}) {
    if (in_path(peer)) all += std::string(",") + peer;
  }
  return all;
}

class Compare : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_netns(); !why.empty()) GTEST_SKIP() << why;
    if (::geteuid() != 0) GTEST_SKIP() << "sees and ends other users' processes: needs root";
    fs::permissions(dir_.path(), fs::perms(0755));
  }
  // A client of a stack (not the null test's) in a run of so many cycles.
  static auto client(const std::string& cycles) {
    return [cycles](const Seen& one) {
      const auto& words = one.command;
      const auto has = [&](const std::string& word) {
        return std::find(words.begin(), words.end(), word) != words.end();
      };
      return one.program == "gb-crr" && has("10.0.2.2") && has(cycles);
    };
  }
  static std::string regex_of_row(const std::string& workload, const std::string& stack) {
    return workload + ", us +" + stack + " +[0-9]";
  }
  void expect_interrupted(CompareRun& run, int number) {
    run.child().signal(number);
    EXPECT_EQ(run.wait(), 128 + number) << run.err();
    EXPECT_THAT(run.out(), HasSubstr("INTERRUPTED after "));
    EXPECT_THAT(run.out(), HasSubstr("null test: "));
    EXPECT_THAT(run.left(), IsEmpty());
  }
  test::TempDir dir_;
};

// --- Ctrl-C, phase by phase

TEST_F(Compare, StoppedWhileStacksStart) {
  CompareRun run({"--stacks", "veth," + stacks(), "--workloads", "rr"});
  run.wait_for_text("starting glassbox-netns");
  expect_interrupted(run, SIGINT);
}

// Not after the fifteen seconds that a stack has for coming up: then it would have been called failed.
TEST_F(Compare, StoppedWhileAStackDoesNotComeUp) {
  (void)dir_.write("slirp4netns", "#!/bin/sh\nexec sleep 1000\n");
  fs::permissions(dir_.path() / "slirp4netns", fs::perms(0755));
  CompareRun run({"--stacks", "slirp4netns", "--workloads", "rr"}, dir_.path());
  run.wait_for_process([](const Seen& one) { return one.program == "sleep"; });
  expect_interrupted(run, SIGTERM);
  EXPECT_THAT(run.out(), Not(HasSubstr("NO ROW")));
}

TEST_F(Compare, StoppedInTheNullTestsPlainLoop) {
  CompareRun run({"--stacks", "veth," + stacks(), "--workloads", "crr", "--cycles", "100000"});
  run.wait_for_text("round 1 of");
  expect_interrupted(run, SIGINT);
}

TEST_F(Compare, StoppedInTheNullTestsHarness) {
  CompareRun run({"--stacks", "veth," + stacks(), "--workloads", "crr", "--cycles", "20000"});
  run.wait_for_process([](const Seen& one) {
    const auto& words = one.command;
    return one.program == "gb-crr" && std::find(words.begin(), words.end(), "20010") != words.end();
  });
  expect_interrupted(run, SIGHUP);
}

TEST_F(Compare, StoppedInTheWarmUp) {
  CompareRun run(
      {"--stacks", stacks(), "--workloads", "rr", "--rate", "50", "--warm-up", "1000", "--cycles", "1000"});
  run.wait_for_process(client("1000"));
  expect_interrupted(run, SIGINT);
}

TEST_F(Compare, StoppedInATimedRound) {
  CompareRun run(
      {"--stacks", stacks(), "--workloads", "rr", "--rate", "50", "--warm-up", "1", "--cycles", "1000"});
  run.wait_for_process(client("1001"));
  expect_interrupted(run, SIGTERM);
}

TEST_F(Compare, StoppedInTheForkingClient) {
  CompareRun run({"--stacks", "veth,glassbox-netns", "--workloads", "crr-fork", "--fork-cycles", "1000"});
  run.wait_for_process([](const Seen& one) {
    return one.command.size() > 1 && one.command[0] == "nc" && one.command[1] == "10.0.2.2";
  });
  expect_interrupted(run, SIGINT);
}

TEST_F(Compare, StoppedInTheCountingPass) {
  CompareRun run({"--stacks", stacks(), "--workloads", "rr", "--rate", "50", "--warm-up", "1", "--cycles",
                  "20", "--rounds", "1"});
  run.wait_for_text("counting ");
  run.wait_for_process(client("21"));
  expect_interrupted(run, SIGINT);
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "glassbox-netns")));
}

// The report is longer than its pipe holds: it is being written while the signal comes.
TEST_F(Compare, StoppedWhileItWrites) {
  const std::string markdown = dir_.path() / "table.md";
  std::string many = "loopback";
  for (int i = 0; i < 9; ++i)
    many += ",loopback";
  CompareRun run({"--stacks", many, "--workloads", "rr", "--rounds", "2", "--cycles", "5", "--json", "-",
                  "--markdown", markdown});
  ASSERT_GE(::fcntl(run.child().out_fd(), F_SETPIPE_SZ, 4096), 0);
  run.wait_for_text("stopping");
  std::string stat;
  do {  // until it waits for us to read
    std::ifstream in(fmt::format("/proc/{}/wchan", run.child().pid()));
    std::getline(in, stat);
    ASSERT_FALSE(run.child().reap()) << run.err();
  } while (stat.find("pipe_write") == std::string::npos);
  run.child().signal(SIGINT);
  EXPECT_EQ(run.wait(), 128 + SIGINT);
  EXPECT_TRUE(nlohmann::json::parse(run.out(), nullptr, false).is_object());
  EXPECT_TRUE(fs::exists(markdown));
  EXPECT_FALSE(fs::exists(markdown + ".part"));
  EXPECT_THAT(run.left(), IsEmpty());
}

// --- one client, one server

// By their files, which are one of each wherever they run, and while they wait.
TEST_F(Compare, TheSameClientAndAServerThatBlocksInAcceptOnEveryStack) {
  CompareRun run({"--stacks", stacks() + ",veth,loopback", "--workloads", "rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "20", "--rounds", "1", "--no-counts"});
  std::set<std::string> hosts;
  std::set<std::pair<std::string, ino_t>> files;
  bool blocked = false;
  while (!run.child().wait(5)) {
    for (const Seen& one : run.processes()) {
      struct stat file {};
      if (one.program != "gb-crr" && one.program != "gb-echo") continue;
      if (::stat(fmt::format("/proc/{}/exe", one.pid).c_str(), &file) != 0) continue;
      files.insert({one.program, file.st_ino});
      if (one.program == "gb-crr" && one.command.size() > 1) hosts.insert(one.command[1]);
      if (one.program != "gb-echo") continue;
      std::string where;
      std::getline(std::ifstream(fmt::format("/proc/{}/wchan", one.pid)), where);
      blocked |= where.find("accept") != std::string::npos;
    }
  }
  EXPECT_EQ(run.wait(), 0) << run.err() << run.out();
  EXPECT_THAT(hosts, ::testing::IsSupersetOf({"10.0.2.2", kVethHostText, "127.0.0.1"}));
  EXPECT_EQ(files.size(), 2U);
  EXPECT_TRUE(blocked);
}

// Of the cycles that count alone, however many the warm-up has.
TEST_F(Compare, CountsAreNotOfTheWarmUp) {
  const auto counts = [](const char* warm_up) {
    CompareRun run({"--stacks", "glassbox-netns", "--workloads", "crr", "--warm-up", warm_up, "--cycles",
                    "100", "--rounds", "4", "--json", "-"});
    EXPECT_EQ(run.wait(), 0) << run.err();
    return nlohmann::json::parse(run.out(), nullptr,
                                 false)["stacks"][0]["workloads"]["crr"]["counts_per_cycle"];
  };
  // Of 100 cycles it has at most as many itself, twice.
  const auto few = counts("1"), many = counts("100");
  for (const char* what : {"cpu_us", "system_calls"})
    EXPECT_LT(many[what].get<double>(), 2 * few[what].get<double>()) << what;
}

// --- what is counted and explained

// The bound on system calls of a cycle: reads and writes of the tap included, --poll off.
constexpr double kMaxCallsPerCrr = 24;

TEST_F(Compare, SystemCallsOfACycleAreBounded) {
  CompareRun run({"--stacks", "glassbox-netns-off,bare", "--workloads", "crr", "--rounds", "1", "--cycles",
                  "100", "--json", "-"});
  EXPECT_EQ(run.wait(), 0) << run.err();
  const auto json = nlohmann::json::parse(run.out(), nullptr, false);
  ASSERT_EQ(json["stacks"].size(), 2u);
  for (const auto& stack : json["stacks"]) {
    SCOPED_TRACE(stack.dump());
    ASSERT_TRUE(stack["refused"].is_null());
    EXPECT_THAT(stack["carried_by"].get<std::string>(),
                HasSubstr(stack["stack"] == "bare" ? "glassbox-bench" : "glassbox"));
    EXPECT_EQ(stack["workloads"]["crr"]["n"], 100);
    if (json.contains("counts_missing")) GTEST_SKIP() << json["counts_missing"];
    const double calls = stack["workloads"]["crr"]["counts_per_cycle"]["system_calls"];
    EXPECT_GT(calls, 5);
    EXPECT_LE(calls, kMaxCallsPerCrr);
  }
  EXPECT_THAT(run.left(), IsEmpty());
}

// Explains what was met as well, so that it does not depend on how fast the machine is.
TEST_F(Compare, ACycleIsExplainedByItsTraceAndHowItsProcessesSpentTheirTime) {
  CompareRun run({"--stacks", "glassbox-netns-off", "--workloads", "crr", "--rounds", "1", "--cycles", "100",
                  "--explain-all", "--json", "-"});
  EXPECT_EQ(run.wait(), 0) << run.err();
  const auto json = nlohmann::json::parse(run.out(), nullptr, false);
  if (json.contains("counts_missing")) GTEST_SKIP() << json["counts_missing"];
  const auto& cell = json["stacks"][0]["workloads"]["crr"];
  ASSERT_TRUE(cell.contains("explanation")) << json.dump(1);
  const auto& found = cell["explanation"];
  ASSERT_EQ(found["shares"].size(), 3u) << found.dump(1);
  EXPECT_NEAR(cell["counts_per_cycle"]["system_calls_by_name"]["close"].get<double>(), 1, 0.05);
  if (!found["trace_missing"].is_null()) GTEST_SKIP() << found["trace_missing"];
  EXPECT_GE(found["trace"]["segments"].size(), 5u);
}

TEST_F(Compare, OpenFlowsAreKeptWhileCyclesRun) {
  CompareRun run({"--stacks", "glassbox-netns", "--workloads", "crr,idle-flows,half-closed", "--idle-flows",
                  "500", "--rounds", "2", "--cycles", "20", "--no-trace", "--no-counts", "--json", "-"});
  EXPECT_EQ(run.wait(), 0) << run.err();
  const auto json = nlohmann::json::parse(run.out(), nullptr, false);
  for (const char* workload : {"idle-flows", "half-closed"}) {
    const auto& cell = json["stacks"][0]["workloads"][workload];
    ASSERT_EQ(cell["quiet"].size(), 2u) << json.dump(1);
    EXPECT_GT(cell["quiet"][0]["resident_kib"], 1000);
    EXPECT_EQ(cell["n"], 40);
  }
  EXPECT_THAT(run.left(), IsEmpty());
}

TEST_F(Compare, TheRelayCarriesStreamsAndTheBareNatDoesNot) {
  CompareRun run({"--stacks", "relay,bare", "--workloads", "crr,stream-out", "--rounds", "1", "--cycles",
                  "20", "--stream-mib", "1", "--mtu", "1500", "--no-counts", "--json", "-"});
  EXPECT_EQ(run.wait(), 0) << run.err();
  const auto json = nlohmann::json::parse(run.out(), nullptr, false);
  EXPECT_EQ(json["spec"]["mtu"], 1500);
  EXPECT_EQ(json["stacks"][0]["workloads"]["stream-out"]["n"], 1);
  EXPECT_EQ(json["stacks"][1]["workloads"]["crr"]["n"], 20);
  EXPECT_FALSE(json["stacks"][1]["workloads"].contains("stream-out"));
  EXPECT_THAT(run.left(), IsEmpty());
}

// --- stacks that fail

// kill(0) would end this test's own process group, ctest among it: a process that was not found gets no
// signal.
void signal_to(const Seen& process, int number) {
  ASSERT_GT(process.pid, 0);
  ::kill(process.pid, number);
}

// The process that carries the packets of our own stack.
bool is_monitor(const Seen& one) {
  return one.program == "glassbox" && one.command.size() > 1;
}

TEST_F(Compare, AStackThatDiesIsRestartedAndItsTurnTakenOnceMore) {
  CompareRun run({"--stacks", "glassbox-netns,loopback", "--workloads", "rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "100", "--rounds", "1", "--no-counts"});
  run.wait_for_process(client("101"));
  signal_to(run.wait_for_process(is_monitor), SIGKILL);
  EXPECT_EQ(run.wait(), 0) << run.err();
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "glassbox-netns")));
  EXPECT_THAT(run.out(), ContainsRegex("Restarted after a failed turn\n  glassbox-netns: rr, round 1: "
                                       "glassbox-netns was ended by signal 9"));
  EXPECT_THAT(run.left(), IsEmpty());
}

// It would be missed by every stack after it.
TEST_F(Compare, AServerThatDiesIsRestartedForAll) {
  CompareRun run({"--stacks", "loopback,glassbox-netns", "--workloads", "rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "100", "--rounds", "1", "--no-counts"});
  run.wait_for_process([](const Seen& one) {
    return one.program == "gb-crr" && one.command.size() > 1 && one.command[1] == "127.0.0.1" &&
           std::find(one.command.begin(), one.command.end(), "101") != one.command.end() &&
           std::find(one.command.begin(), one.command.end(), "rr") != one.command.end();
  });
  const auto serves = [](const Seen& one, const std::string& service) {
    const auto at = std::find(one.command.begin(), one.command.end(), "--service");
    return one.program == "gb-echo" && at != one.command.end() && *(at + 1) == service;
  };
  for (const Seen& one : run.processes()) {
    if (serves(one, "keep")) signal_to(one, SIGKILL);
  }
  EXPECT_EQ(run.wait(), 0) << run.err();
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "loopback")));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "glassbox-netns")));
  EXPECT_THAT(run.out(), HasSubstr("loopback: rr, round 1: the server was ended by signal 9"));
  EXPECT_THAT(run.left(), IsEmpty());
}

// What is counted then is the new process, and nothing of the rounds is lost.
TEST_F(Compare, AStackThatDiesInTheCountIsCountedAgain) {
  CompareRun run({"--stacks", "glassbox-netns", "--workloads", "rr", "--rate", "50", "--warm-up", "1",
                  "--cycles", "50", "--rounds", "1", "--json", "-"});
  run.wait_for_text("counting ");
  run.wait_for_process(client("51"));
  signal_to(run.wait_for_process(is_monitor), SIGKILL);
  EXPECT_EQ(run.wait(), 0) << run.err();
  const auto json = nlohmann::json::parse(run.out(), nullptr, false);
  const auto& row = json["stacks"][0];
  EXPECT_EQ(row["started_anew"][0]["when"], "the count");
  EXPECT_EQ(row["workloads"]["rr"]["n"], 50);
  EXPECT_GT(row["workloads"]["rr"]["counts_per_cycle"]["system_calls"], 1);
}

// Twice under one workload: that has no figures, the next has, and so have the other stacks.
TEST_F(Compare, AStackThatDiesAgainIsShownAsFailedWithItsLastWordsAndTheOthersGoOn) {
  CompareRun run({"--stacks", stacks() + ",loopback", "--workloads", "crr,rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "100", "--rounds", "1", "--no-counts"});
  run.wait_for_process(client("101"));
  const Seen first = run.wait_for_process(is_monitor);
  signal_to(first, SIGKILL);
  run.wait_for_text("restarting glassbox-netns");
  run.wait_for_process(client("101"));
  signal_to(run.wait_for_process([&](const Seen& one) { return is_monitor(one) && one.pid != first.pid; }),
            SIGKILL);
  EXPECT_EQ(run.wait(), 1);
  EXPECT_THAT(run.out(), ContainsRegex("crr +glassbox-netns +failed: glassbox-netns was ended by signal 9"));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "glassbox-netns")));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("crr", "loopback")));
  if (in_path("pasta")) {
    EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("crr", "pasta")));
  }
  EXPECT_THAT(run.left(), IsEmpty());
}

// It does not come up a second time.
TEST_F(Compare, AStackThatCannotBeRestartedIsRefusedWithItsLastWords) {
  if (!in_path("slirp4netns")) GTEST_SKIP() << "slirp4netns is not installed";
  const fs::path fake = dir_.path() / "slirp4netns";
  std::ofstream(fake) << fmt::format(
      "#!/bin/sh\nif [ -e {0} ]; then echo once is enough >&2; exit 3; fi\n: >{0}\nexec "
      "/usr/bin/slirp4netns \"$@\"\n",
      (dir_.path() / "used").string());
  fs::permissions(fake, fs::perms(0755));
  fs::permissions(dir_.path(), fs::perms(0777));  // the peer is not root
  CompareRun run({"--stacks", "slirp4netns,loopback", "--workloads", "rr", "--rate", "50", "--warm-up", "1",
                  "--cycles", "100", "--rounds", "1", "--no-counts"},
                 dir_.path());
  run.wait_for_process(client("101"));
  const Seen peer = run.wait_for_process([](const Seen& one) { return one.program == "slirp4netns"; });
  signal_to(peer, SIGKILL);
  EXPECT_EQ(run.wait(), 1);
  // It has said something at its start; that is the last of it.
  EXPECT_THAT(run.out(),
              ContainsRegex("rr +slirp4netns +failed: slirp4netns was ended by signal 9.*: [a-zA-Z]"));
  EXPECT_THAT(run.out(), HasSubstr("slirp4netns: NO ROW: could not be restarted: "));
  EXPECT_THAT(run.out(), HasSubstr("once is enough"));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "loopback")));
  EXPECT_THAT(run.left(), IsEmpty());
}

// Its connection keeps the server, which serves one at a time: the others need another.
TEST_F(Compare, AStackThatStopsMovingIsGivenUpAndDoesNotHoldTheOthers) {
  CompareRun run({"--stacks", "glassbox-netns,loopback", "--workloads", "rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "100", "--rounds", "1", "--no-counts", "--stall", "2"});
  run.wait_for_process(client("101"));
  signal_to(run.wait_for_process(is_monitor), SIGSTOP);
  EXPECT_EQ(run.wait(), 0) << run.err();
  EXPECT_THAT(run.out(), ContainsRegex("glassbox-netns: rr, round 1: no cycle ended for 2 s, given up after "
                                       "[0-9]+ of 101; the client's connection is in ESTABLISHED"));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "glassbox-netns")));
  EXPECT_THAT(run.out(), ContainsRegex(regex_of_row("rr", "loopback")));
  EXPECT_THAT(run.left(), IsEmpty());
}

// The wait for it is no measure of what the rounds to come will take.
TEST_F(Compare, AStallIsNotExpectedOfTheRoundsToCome) {
  CompareRun run({"--stacks", "glassbox-netns,loopback", "--workloads", "rr", "--rate", "50", "--warm-up",
                  "1", "--cycles", "20", "--rounds", "20", "--no-counts", "--stall", "5"});
  run.wait_for_process(client("21"));
  signal_to(run.wait_for_process(is_monitor), SIGSTOP);
  run.wait_for_text("round 3 of 20");
  EXPECT_THAT(run.err(), HasSubstr("given up after"));
  EXPECT_THAT(run.err(), HasSubstr("round 2 of 20, less than a minute left"));
  expect_interrupted(run, SIGINT);
}

TEST_F(Compare, WhatVethNeedsIsNamedWithItsPackage) {
  for (const char* program : {"nsenter", "setpriv", "dpkg-query", "env"})
    fs::create_symlink(fs::path("/usr/bin") / program, dir_.path() / program);
  Process process({"/usr/bin/env", "PATH=" + dir_.path().string(),
                   program_dir().parent_path() / "glassbox-bench", "compare", "--stacks", "veth,loopback",
                   "--workloads", "rr", "--rounds", "1", "--cycles", "5", "--no-counts"});
  const auto outcome = process.wait();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("veth: NO ROW: not installed: apt-get install iproute2"));
  EXPECT_THAT(outcome.output, ContainsRegex(regex_of_row("rr", "loopback")));
}

}  // namespace
}  // namespace glassbox::bench
