// glassbox-bench compare as its user meets it, on stacks that need no guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "tests/unit/tools/bench/compare_cli.h"
#include "tools/bench/cli.h"
#include "tools/bench/measure/identity.h"
#include "tools/bench/process/progress.h"
#include "tools/bench/stacks/native_stack.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(CompareCli, AStackAgainstItselfAndTheNullTest) {
  const Outcome outcome = compare_cli({"--stacks", "loopback,loopback", "--workloads", "crr,rr", "--cycles",
                                       "40", "--no-counts", "--json", "-"});
  const auto json = parse(outcome);
  ASSERT_TRUE(json.is_object()) << outcome.err;
  const auto& again = json["stacks"][1];
  EXPECT_EQ(again["stack"], "loopback#2");
  EXPECT_EQ(again["compared_with"], "loopback");
  for (const char* workload : {"crr", "rr"}) {
    EXPECT_EQ(again["workloads"][workload]["n"], 320);
    EXPECT_EQ(again["workloads"][workload]["comparison"]["rounds"], 8);
  }
  EXPECT_EQ(json["null_test"]["harness"]["n"], 320);
  EXPECT_EQ(json["null_test"]["plain"]["n"], 320);
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos) << "no terminal, no rewritten lines";
  EXPECT_THAT(outcome.err, HasSubstr("round 8 of 8, less than a minute left\n"));
}

TEST(CompareCli, EveryWorkloadHasItsFigures) {
  const Outcome outcome =
      compare_cli({"--stacks", "loopback", "--rounds", "1", "--cycles", "16", "--fork-cycles", "3",
                   "--stream-mib", "1", "--payload", "100", "--flows", "1,8", "--workloads",
                   "crr,crr-fork,rr,stream-out,stream-in,connect-rate", "--json", "-"});
  ASSERT_EQ(outcome.status, 0) << outcome.err << outcome.out;
  const auto workloads = parse(outcome)["stacks"][0]["workloads"];
  EXPECT_EQ(workloads.size(), 7u);
  for (const auto& [name, cell] : workloads.items()) {
    EXPECT_GT(cell["p50_us"], 0) << name;
  }
  EXPECT_EQ(workloads["crr"]["n"], 16);
  EXPECT_EQ(workloads["crr-fork"]["n"], 3);
  // Of one byte, whatever the others send.
  EXPECT_EQ(parse(outcome)["null_test"]["harness"]["n"], 16) << outcome.out;
}

// A cycle that is due while the last one still runs has waited since then.
TEST(CompareCli, OpenLoopIsTimedFromTheSchedule) {
  const Outcome closed = compare_cli(
      {"--stacks", "loopback", "--workloads", "rr", "--rounds", "1", "--cycles", "2000", "--json", "-"});
  const Outcome open = compare_cli({"--stacks", "loopback", "--workloads", "rr", "--rounds", "1", "--cycles",
                                    "2000", "--rate", "1000000", "--json", "-"});
  const double closed_us = parse(closed)["stacks"][0]["workloads"]["rr"]["p50_us"];
  const double open_us = parse(open)["stacks"][0]["workloads"]["rr"]["p50_us"];
  // At a million a second nearly all of them are late, by as many turns as came before.
  EXPECT_GT(open_us, 50 * closed_us);
  EXPECT_EQ(parse(open)["spec"]["rate"], 1'000'000);
  // The null test's loop is closed all the same.
  EXPECT_EQ(parse(open)["null_test"]["harness"]["n"], 2000);
  EXPECT_LT(parse(open)["null_test"]["harness"]["p50_us"], open_us / 10);
}

class FakePath : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = (fs::temp_directory_path() / "compare-XXXXXX").string();
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    ASSERT_EQ(::chmod(dir_.c_str(), 0755), 0);
  }
  void TearDown() override { fs::remove_all(dir_); }
  void program(const char* name, const char* script) {
    std::ofstream(dir_ + "/" + name) << script;
    fs::permissions(dir_ + "/" + name, fs::perms(0755));
  }
  std::string dir_;
};

TEST_F(FakePath, AMissingPeerIsNamedWithItsPackage) {
  const Outcome outcome =
      compare_cli({"--stacks", "pasta,loopback", "--workloads", "rr", "--rounds", "1"}, dir_);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("pasta: NO ROW: not installed: apt-get install passt"));
  EXPECT_THAT(outcome.out, ContainsRegex("rr, us +loopback +[0-9]"));
}

TEST_F(FakePath, OneThatFailsIsShownWithItsLastLineAndTheOthersGoOn) {
  program("slirp4netns", "#!/bin/sh\necho first >&2\necho the reason why >&2\nexit 3\n");
  const Outcome outcome =
      compare_cli({"--stacks", "slirp4netns,loopback", "--workloads", "rr", "--rounds", "1"},
                  dir_ + ":/usr/sbin:/usr/bin:/sbin:/bin");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, ContainsRegex("rr +slirp4netns +failed: "));
  EXPECT_THAT(outcome.out, HasSubstr("the reason why"));
  EXPECT_THAT(outcome.out, ContainsRegex("rr, us +loopback +[0-9]"));
}

TEST_F(FakePath, APeerThatIsAnotherProgramIsRefusedWhateverItsName) {
  if (::access("/usr/bin/slirp4netns", X_OK) != 0) GTEST_SKIP() << "slirp4netns is not installed";
  if (::access("/usr/bin/pasta", X_OK) != 0) GTEST_SKIP() << "pasta is not installed";
  // One peer under the other's name. It wants other options, or carries packets and is found out; never a
  // row.
  fs::copy_file("/usr/bin/slirp4netns", dir_ + "/pasta");
  const Outcome outcome = compare_cli({"--stacks", "pasta,loopback", "--workloads", "rr", "--rounds", "1"},
                                      dir_ + ":/usr/sbin:/usr/bin:/sbin:/bin");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("pasta: NO ROW: "));
}

// At its own place, where dpkg says that the file is the package's.
TEST(CompareIdentity, APeerThatWasReplacedInItsPlaceIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts over a program, for itself: needs root";
  if (::access("/usr/bin/slirp4netns", X_OK) != 0) GTEST_SKIP() << "slirp4netns is not installed";
  if (!fs::exists("/var/lib/dpkg/info/slirp4netns.md5sums")) GTEST_SKIP() << "dpkg has no sums of it";
  // The same program but for a byte at its end, and one that denies its name.
  const std::string script =
      "d=$(mktemp -d); chmod 755 $d; cp /usr/bin/slirp4netns $d/slirp4netns; echo >> $d/slirp4netns; "
      "sed 's/slirp4netns version/ghost4netns version/' $d/slirp4netns > $d/ghost; chmod 755 $d/ghost; "
      "for f in slirp4netns ghost; do mount --bind $d/$f /usr/bin/slirp4netns; " +
      bench_program().string() +
      " compare --stacks slirp4netns --workloads rr --rounds 1 --cycles 5 --no-counts; "
      "umount /usr/bin/slirp4netns; done; rm -r $d";
  auto child = Child::start({.what = "sh", .argv = {"unshare", "-m", "sh", "-c", script}});
  ASSERT_TRUE(child.has_value());
  const Outcome outcome = ended(**child);
  EXPECT_THAT(outcome.out, ContainsRegex("slirp4netns: /usr/bin/slirp4netns slirp4netns version .*(not of "
                                         "package slirp4netns)"));
  EXPECT_THAT(outcome.out,
              ContainsRegex("NO ROW: /usr/bin/slirp4netns is not of package slirp4netns and calls "
                            "itself \"ghost4netns version"));
}

// The client of this build, seen from the tests' folder.
class Loopback final : public Stack {
 public:
  Status start(Watch&) override { return {}; }
  std::string host() const override { return "127.0.0.1"; }
  ClientPrograms client_programs() const override {
    return {{}, fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "guest/gb-crr"};
  }
  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    return Child::start({.what = "the client", .argv = std::move(argv)});
  }
  Status stop() override { return {}; }
};

TEST(CompareIdentity, TheOwnerOfTheSocketIsFoundAndAnotherRefused) {
  auto watch = Watch::create();
  ASSERT_TRUE(watch.has_value());
  Loopback stack;
  const auto found = identify(*find_stack("loopback"), stack, kLoopback, *watch);
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_THAT(found->text, HasSubstr("guest/gb-crr " GLASSBOX_VERSION " (process "));

  const auto refused = identify(*find_stack("pasta"), stack, kLoopback, *watch);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("guest/gb-crr (process "));
  EXPECT_THAT(refused.error().message, HasSubstr("carries the packets, not pas"));
}

TEST(CompareCli, CtrlCPrintsWhatIsThereAndLeavesNothing) {
  const auto child =
      start_compare({"--stacks", "loopback", "--workloads", "crr", "--rounds", "1000", "--cycles", "50"});
  while (child->err().find("round 3 of") == std::string::npos) {
    pollfd said{child->err_fd(), POLLIN, 0};
    ASSERT_GE(::poll(&said, 1, -1), 0);
    child->take_output();
    ASSERT_FALSE(child->reap()) << child->err();
  }
  child->signal(SIGINT);
  while (!child->wait(1000)) {
  }
  EXPECT_EQ(child->reap()->code, 128 + SIGINT);
  EXPECT_THAT(child->out(), HasSubstr("INTERRUPTED after "));
  EXPECT_THAT(child->out(), ContainsRegex("crr, us +loopback +[0-9]"));
  // Its process group had the server and the client.
  EXPECT_EQ(::kill(-child->pid(), 0), -1);
}

TEST(CompareCli, OursWithoutPollingOnlyWhereNamed) {
  options::App app("test");
  Spec spec;
  add_compare(app, spec);
  EXPECT_TRUE(std::ranges::count(spec.stacks, "glassbox-netns"));
  for (const std::string& name : spec.stacks)
    EXPECT_FALSE(find_stack(name)->poll_off) << name;
  const std::array words{"test", "--stacks", "glassbox-off,glassbox-netns-off"};
  ASSERT_TRUE(app.parse(words.size(), words.data()).proceed);
  EXPECT_EQ(spec.stacks, (std::vector<std::string>{"glassbox-off", "glassbox-netns-off"}));
  EXPECT_TRUE(check_compare(spec));
}

TEST(CompareCli, WhatIsLeftOutIsAFlagWithoutAValue) {
  options::App app("test");
  Spec spec;
  add_compare(app, spec);
  EXPECT_THAT(app.help(), HasSubstr("--no-counts  "));
  EXPECT_THAT(app.help(), HasSubstr("--no-trace  "));
  const std::array words{"test", "--no-counts", "--no-trace"};
  ASSERT_TRUE(app.parse(words.size(), words.data()).proceed);
  EXPECT_FALSE(spec.counts || spec.trace_missed);
}

TEST(CompareCli, UsageIsStatus2) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--stacks", "nonsense"},
           {"--workloads", "nonsense"},
           {"--stacks", "loopback", "--rounds", "0"},
           {"--stacks", "loopback", "--payload", "0"},
           {"--stacks", "loopback", "--json", "-", "--markdown", "-"},
           {"--stacks", "loopback", "--json", "same", "--markdown", "./same"},
           {"--stacks", "loopback", "--workloads", "boot", "--rate", "5"}}) {
    EXPECT_EQ(compare_cli(arguments).status, 2);
  }
}

// On a terminal it says whose turn it is.
TEST(CompareCli, EachRoundBeginsWithAnotherStack) {
  int master = -1;
  const std::string bench = bench_program();
  const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ::execl(bench.c_str(), bench.c_str(), "compare", "--stacks", "loopback,loopback,loopback", "--workloads",
            "rr", "--rounds", "3", "--cycles", "3", "--no-counts", nullptr);
    ::_exit(127);
  }
  std::string text;
  std::array<char, 4096> bytes;
  for (ssize_t n = 0; (n = ::read(master, bytes.data(), bytes.size())) > 0;)
    text.append(bytes.data(), static_cast<std::size_t>(n));
  ::waitpid(pid, nullptr, 0);
  ::close(master);
  const std::string mark = ": rr on loopback";
  std::string order;
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    const std::size_t next = at + mark.size();
    order += text[next] == '#' ? text[next + 1] : '1';
  }
  EXPECT_EQ(order, "123231312");
  EXPECT_THAT(text, HasSubstr("round 1 of 3, less than a minute left"));
}

TEST(Progress, RewritesItsLineOnATerminal) {
  int master = -1;
  const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    {
      Progress progress;
      progress.stage("round 1 of 8");
      progress.detail("crr on pasta");
    }
    ::_exit(0);
  }
  std::string text;
  std::array<char, 256> bytes;
  for (ssize_t n = 0; (n = ::read(master, bytes.data(), bytes.size())) > 0;)
    text.append(bytes.data(), static_cast<std::size_t>(n));
  ::waitpid(pid, nullptr, 0);
  ::close(master);
  EXPECT_THAT(text, HasSubstr("\r\033[Kround 1 of 8: crr on pasta"));
  EXPECT_EQ(text.substr(text.size() - 4), "\r\033[K");  // and takes it away
}

}  // namespace
}  // namespace glassbox::bench
