// Where glassbox-bench writes to, when that does not take it: files, devices, pipes, a full disk, a reader
// that has gone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/unit/tools/bench/compare_cli.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> small(std::vector<std::string> more) {
  std::vector<std::string> all{"--stacks", "loopback", "--workloads", "rr",         "--rounds",
                               "1",        "--cycles", "5",           "--no-counts"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// A shell around it, for what only a shell can open.
Outcome shell(const std::string& script) {
  auto child = Child::start({.what = "sh", .argv = {"sh", "-c", script}});
  EXPECT_TRUE(child.has_value());
  return ended(**child);
}

std::string small_command() {
  std::string text = bench_program().string() + " compare";
  for (const std::string& word : small({}))
    text += " " + word;
  return text;
}

void wait_for(Child& child, const std::string& text) {
  while (child.err().find(text) == std::string::npos) {
    pollfd said{child.err_fd(), POLLIN, 0};
    ASSERT_GE(::poll(&said, 1, -1), 0);
    child.take_output();
    ASSERT_FALSE(child.reap()) << child.err();
  }
}

TEST(Output, AFileThatCannotBeWrittenIsSaidBeforeTheRun) {
  for (const char* option : {"--json", "--markdown"}) {
    for (const char* path : {"/nonexistent/x", "/proc/none", "/tmp"}) {
      const Outcome outcome = compare_cli(small({option, path}));
      EXPECT_EQ(outcome.status, 1) << path;
      EXPECT_THAT(outcome.err, HasSubstr(std::string("cannot write ") + path));
      EXPECT_THAT(outcome.err, Not(HasSubstr("starting"))) << path;
    }
  }
}

// With a guest, and no KVM, that is before the lab is started.
TEST(Output, AlsoWhereTheRunIsForTheLab) {
  for (const char* command : {"crr", "compare --stacks glassbox"}) {
    const Outcome outcome = shell("GLASSBOX_IN_LAB_TOOL=/bin/false " + bench_program().string() + " " +
                                  command + " --json /nonexistent/x");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr("cannot write /nonexistent/x"));
    EXPECT_THAT(outcome.err, Not(HasSubstr("lab")));
  }
}

TEST(Output, ADiskWithoutRoomIsSaidBeforeTheRun) {
  if (::geteuid() != 0) GTEST_SKIP() << "makes a file system of its own: needs root";
  const test::TempDir dir;
  const std::string path = (dir.path() / "x.json").string();
  const Outcome outcome =
      shell("exec unshare -m sh -c 'mount -t tmpfs -o size=64k none " + dir.path().string() + " && " +
            small_command() + " --json " + path + "; ls -A " + dir.path().string() + "'");
  EXPECT_THAT(outcome.err, HasSubstr("cannot write " + path + ": No space left on device"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("starting")));
  EXPECT_THAT(outcome.out, IsEmpty()) << "nothing half-written";
}

TEST(Output, AFolderThatGoesAwayInTheRunTakesNothingFromTheTable) {
  const test::TempDir dir;
  const fs::path folder = dir.path() / "folder";
  fs::create_directory(folder);
  const auto child = start_compare({"--stacks", "loopback", "--workloads", "rr", "--rounds", "3", "--cycles",
                                    "2000", "--no-counts", "--json", folder / "x.json"});
  wait_for(*child, "round 1 of");
  fs::remove_all(folder);
  const Outcome outcome = ended(*child);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, ContainsRegex("rr, us +loopback +[0-9]"));
  EXPECT_THAT(outcome.err, HasSubstr("cannot write " + (folder / "x.json").string()));
}

TEST(Output, AnOldFileStaysWholeUntilTheNewOneIs) {
  const test::TempDir dir;
  const std::string path = dir.write("x.json", "old");
  const auto child = start_compare({"--stacks", "loopback", "--workloads", "rr", "--rounds", "3", "--cycles",
                                    "2000", "--no-counts", "--json", path});
  wait_for(*child, "round 1 of");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "old");
  EXPECT_EQ(ended(*child).status, 0);
  std::ifstream in(path);
  EXPECT_TRUE(nlohmann::json::parse(in, nullptr, false).is_object());
  EXPECT_FALSE(fs::exists(path + ".part"));
}

// Devices and pipes are written to; a file renamed into the place of /dev/null would be the machine's ruin.
TEST(Output, APipeIsWrittenToAndStaysOne) {
  const test::TempDir dir;
  const std::string path = (dir.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto child = start_compare(small({"--json", path}));
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> bytes;
  for (ssize_t n = 0; (n = ::read(reader.get(), bytes.data(), bytes.size())) > 0;)
    text.append(bytes.data(), static_cast<std::size_t>(n));
  EXPECT_EQ(ended(*child).status, 0) << child->err();
  EXPECT_TRUE(nlohmann::json::parse(text, nullptr, false).is_object());
  EXPECT_TRUE(fs::is_fifo(path));
}

TEST(Output, AReaderThatHasGoneIsAnErrorAndNoSignal) {
  const Outcome gone = shell("(" + small_command() + "; echo status $? >&2) | true");
  EXPECT_THAT(gone.err, HasSubstr("cannot write to standard output: Broken pipe"));
  EXPECT_THAT(gone.err, HasSubstr("status 1\n"));
  const Outcome full = shell(small_command() + " > /dev/full");
  EXPECT_EQ(full.status, 1);
  EXPECT_THAT(full.err, HasSubstr("cannot write to standard output: No space left on device"));
}

// Nothing that the run opens may get their numbers: the report would go there, and the client's times
// nowhere.
TEST(Output, ClosedStandardDescriptorsAreNobodyElses) {
  const Outcome closed = shell(small_command() + " >&- <&-");
  EXPECT_EQ(closed.status, 1);
  EXPECT_THAT(closed.err, HasSubstr("cannot write to standard output: Bad file descriptor"));
  const test::TempDir dir;
  const std::string path = (dir.path() / "x.json").string();
  (void)shell(small_command() + " --json " + path + " <&- >&- 2>&-");
  std::ifstream in(path);
  const auto json = nlohmann::json::parse(in, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["stacks"][0]["workloads"]["rr"]["n"], 5);
}

TEST(Output, MarkdownMayGoToStandardOutput) {
  const test::TempDir dir;
  const Outcome outcome = shell("cd " + dir.path().string() + " && " + small_command() + " --markdown -; ls");
  EXPECT_THAT(outcome.out, HasSubstr("| workload | stack |"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\n-\n"))) << "a file of that name";
}

TEST(Output, NobodyHasToReadTheProgress) {
  for (const char* where : {"2>&1 >\"$f\" | true", "2>/dev/full >\"$f\""}) {
    const Outcome outcome =
        shell("f=$(mktemp); " + small_command() + " " + where + "; cat \"$f\"; rm \"$f\"");
    EXPECT_THAT(outcome.out, ContainsRegex("rr, us +loopback +[0-9]")) << where;
  }
}

// What the launcher ignores for itself is not for those that it starts: `yes | head` has to end.
TEST(Output, ChildrenHaveTheirBrokenPipes) {
  ::signal(SIGPIPE, SIG_IGN);
  const Outcome outcome = shell("yes | head -c 1; kill -PIPE $$; echo survived");
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(outcome.status, 128 + SIGPIPE);
}

}  // namespace
}  // namespace glassbox::bench
