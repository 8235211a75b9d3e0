// The command line as people and scripts use it, on guests that the test boots. Needs a usable KVM: this
// machine's, or the lab's (tools/check chooses).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/system/cli/process.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/base/lab.h"

namespace glassbox::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// Skips the test where no guest can run. main.cc gives the tests a runtime directory of their own.
class Cli : public testing::Test {
 protected:
  void SetUp() override {
    if (!in_lab() && run(glassbox({"kvm-check"})).status != 0) {
      GTEST_SKIP() << "KVM is not usable here; tools/in-lab ctest -L system runs this in the lab";
    }
  }
  static std::string random_file(const TempDir& dir, std::size_t size) {
    std::string data(size, '\0');
    std::uint32_t x = 2463534242;
    for (char& c : data)
      c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    return dir.write("data", data);
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

bool nothing_left() {
  return nlohmann::json::parse(run(glassbox({"ls", "--json"})).out).empty() &&
         std::filesystem::is_empty(std::getenv("GLASSBOX_RUNTIME_DIR"));
}

// --- one guest for many commands ---

class RunningGuest : public Cli {
 protected:
  static void SetUpTestSuite() {
    if (!in_lab() && run(glassbox({"kvm-check"})).status != 0) return;
    booted_ = run(glassbox({"run", "-d", "--name", "web", "--vcpus", "2"}));
  }
  static void TearDownTestSuite() { (void)run(glassbox({"stop", "web"})); }

  void SetUp() override {
    Cli::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(booted_.status, 0) << booted_.err;
  }
  static ProgramResult exec(std::vector<std::string> command, const std::string& stdin_file = "/dev/null") {
    command.insert(command.begin(), {"exec", "web", "--"});
    return run(glassbox(std::move(command)), stdin_file);
  }
  static ProgramResult booted_;
};
ProgramResult RunningGuest::booted_;

TEST_F(RunningGuest, DetachedRunPrintsTheName) {
  EXPECT_EQ(booted_.out, "web\n");
}

TEST_F(RunningGuest, IsListed) {
  const ProgramResult table = run(glassbox({"ls"}));
  EXPECT_EQ(table.status, 0);
  EXPECT_THAT(table.out, HasSubstr("web"));
  const auto vms = nlohmann::json::parse(run(glassbox({"ls", "--json"})).out);
  ASSERT_EQ(vms.size(), 1U);
  EXPECT_EQ(vms[0]["name"], "web");
  EXPECT_EQ(vms[0]["vcpus"], 2);
}

TEST_F(RunningGuest, HasBothProcessors) {
  EXPECT_EQ(exec({"nproc"}).out, "2\n");
}

TEST_F(RunningGuest, HasItsNetwork) {
  EXPECT_THAT(exec({"ip", "-4", "addr", "show", "eth0"}).out, HasSubstr("10.0.2.15/24"));
  EXPECT_THAT(exec({"ip", "route"}).out, HasSubstr("default via 10.0.2.2"));
}

TEST_F(RunningGuest, OffersTheClockPage) {
  EXPECT_THAT(exec({"sh", "-c", "cat /sys/bus/pci/devices/*/vendor"}).out, HasSubstr("0x676c"));
}

TEST_F(RunningGuest, StatusOutputAndErrorsComeThrough) {
  const ProgramResult result = exec({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(result.status, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(RunningGuest, EmptyAndDashedArgumentsReachTheCommand) {
  EXPECT_EQ(exec({"printf", "[%s]", "", "--", "-t", "--name"}).out, "[][--][-t][--name]");
}

TEST_F(RunningGuest, ArgumentsAreBytesOfAnyLength) {
  EXPECT_EQ(exec({"printf", "%s", "\xff\xfe"}).out, "\xff\xfe");
  EXPECT_EQ(
      exec({"sh", "-c", "printf %s $1$2 | wc -c", "sh", std::string(100'000, 'x'), std::string(100'000, 'y')})
          .out,
      "200000\n");
}

// The words after a redirection of the shell: "<&-" closes stdin.
std::vector<std::string> redirected(const std::string& how, const std::vector<std::string>& command) {
  std::vector<std::string> argv{"/bin/sh", "-c", "exec \"$@\" " + how, "sh"};
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

TEST_F(RunningGuest, OutputThatCannotBeWrittenIsAFailure) {
  const ProgramResult full = run(redirected(">/dev/full", glassbox({"exec", "web", "--", "seq", "1000"})));
  EXPECT_EQ(full.status, 125);
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  EXPECT_EQ(run(redirected(">/dev/full", glassbox({"ls"}))).status, 1);
}

TEST_F(RunningGuest, ExecWorksWithStandardDescriptorsClosedInEveryCombination) {
  for (const char* in : {"", "<&- "}) {
    for (const char* out : {"", ">&- "}) {
      for (const char* err : {"", "2>&-"}) {
        const std::string how = std::string(in) + out + err;
        EXPECT_EQ(run(redirected(how, glassbox({"exec", "web", "--", "sh", "-c", "exit 7"}))).status, 7)
            << how;
      }
    }
  }
}

TEST_F(RunningGuest, ItsFiguresAndItsConsoleAreToBeHad) {
  const auto stats = nlohmann::json::parse(run(glassbox({"stats", "web", "--json"})).out);
  EXPECT_EQ(stats["name"], "web");
  EXPECT_GT(stats["exits"], 0);
  EXPECT_GE(stats["network"]["guest_frames"], 0);
  EXPECT_THAT(run(glassbox({"stats", "web"})).out, HasSubstr("network: flows_open "));
  EXPECT_EQ(exec({"sh", "-c", "echo hello of the console >/dev/console"}).status, 0);
  while (run(glassbox({"logs", "web"})).out.find("hello of the console\n") == std::string::npos)
    ASSERT_EQ(run(glassbox({"logs", "web"})).status, 0);
  EXPECT_EQ(run(glassbox({"stats", "wbe"})).status, 1);
}

TEST_F(RunningGuest, TenMegabytesPassThrough) {
  const TempDir dir;
  const std::string file = random_file(dir, 10 << 20);
  const ProgramResult result = exec({"cat"}, file);
  EXPECT_EQ(result.status, 0);
  EXPECT_TRUE(result.out == content(file)) << result.out.size() << " bytes came back";
}

TEST_F(RunningGuest, MissingCommandIs127AndUnrunnableIs126) {
  const ProgramResult result = exec({"no-such-command"});
  EXPECT_EQ(result.status, 127);
  EXPECT_THAT(result.err, HasSubstr("no-such-command"));
  EXPECT_EQ(exec({"/etc/passwd"}).status, 126);
}

TEST_F(RunningGuest, SignalGoesToTheCommand) {
  Process process = Process::start(
      glassbox({"exec", "web", "--", "sh", "-c", "trap 'exit 42' TERM; echo up; while :; do sleep 1; done"}));
  while (process.output() != "up\n")
    std::this_thread::yield();
  process.signal(SIGTERM);
  const ProgramResult result = process.wait();
  EXPECT_EQ(result.status, 42);
}

TEST_F(RunningGuest, TerminalIsPassedThrough) {
  Process process =
      Process::start(glassbox({"exec", "web", "--", "sh", "-c", "trap : INT; tty; cat; exit 9"}), {}, true);
  EXPECT_TRUE(process.wait_for("/dev/pts/"));
  process.type("hello\n");
  EXPECT_TRUE(process.wait_for("hello\r\nhello\r\n"));  // the terminal's echo, then cat
  process.type("\x03");
  EXPECT_EQ(process.wait().status, 9);
}

TEST_F(RunningGuest, UnknownNameListsTheNames) {
  const ProgramResult result = run(glassbox({"exec", "wbe", "--", "true"}));
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("web"));
  EXPECT_EQ(run(glassbox({"stop", "wbe"})).status, 1);
}

TEST_F(RunningGuest, NameIsTaken) {
  const ProgramResult result = run(glassbox({"run", "--name", "web", "--", "true"}));
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("running"));
}

TEST_F(RunningGuest, ZStopEndsItAndLeavesNothing) {
  EXPECT_EQ(run(glassbox({"stop", "web"})).status, 0);
  EXPECT_TRUE(nothing_left());
}

// --- guests of their own ---

using OwnGuest = Cli;

TEST_F(OwnGuest, CommandStdinAndStatus) {
  const TempDir dir;
  const std::string file = random_file(dir, 10 << 20);
  const ProgramResult result =
      run(glassbox({"run", "--vcpus", "2", "--", "sh", "-c", "nproc >&2; cat; exit 7"}), file);
  EXPECT_EQ(result.status, 7);
  EXPECT_EQ(result.err, "2\n");
  EXPECT_TRUE(result.out == content(file)) << result.out.size() << " bytes came back";
  EXPECT_TRUE(nothing_left());
}

TEST_F(OwnGuest, AddedProgramRuns) {
  const TempDir dir;
  const std::string program = dir.write("tools/hello", "#!/bin/sh\necho hello from $0\n");
  ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
  const ProgramResult result =
      run(glassbox({"run", "--add", program + ":/usr/bin/hello", "--add", (dir.path() / "tools").string(),
                    "--", "sh", "-c", "hello; /tools/hello; which nc"}));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("hello from /usr/bin/hello\nhello from /tools/hello\n"));
  EXPECT_THAT(result.out, HasSubstr("/usr/bin/nc"));  // /usr/bin is still the image's
}

// What would hide under a mount or a link of the guest, and what tar would keep.
TEST_F(OwnGuest, AddedTreeArrivesWholeAndItsCopyIsFreed) {
  const TempDir dir;
  for (const char* name : {"tmp/a", "run/b", "dev/shm/c", "opt/first"})
    (void)dir.write(std::string("tree/") + name, name);
  const std::filesystem::path tree = dir.path() / "tree";
  std::filesystem::create_hard_link(tree / "opt/first", tree / "opt/second");
  ASSERT_EQ(::mkfifo((tree / "opt/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::chown((tree / "opt/first").c_str(), 33, 44), 0);
  ASSERT_EQ(run(glassbox({"run", "-d", "--name", "tree", "--add", tree.string() + ":/"})).status, 0);
  const ProgramResult result =
      run(glassbox({"exec", "tree", "--", "sh", "-c",
                    "cat /tmp/a /run/b /dev/shm/c; stat -c ' %h %u %g' /opt/second; test -p /opt/fifo"}));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "tmp/arun/bdev/shm/c 2 33 44\n");
  const auto vms = nlohmann::json::parse(run(glassbox({"ls", "--json"})).out);
  const std::string fds = "/proc/" + std::to_string(vms.at(0)["pid"].get<int>()) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(fds)) {
    std::error_code error;
    EXPECT_THAT(std::filesystem::read_symlink(entry.path(), error).string(),
                Not(HasSubstr("memfd:glassbox")));
  }
  EXPECT_EQ(run(glassbox({"stop", "tree"})).status, 0);
}

TEST_F(OwnGuest, FilesThatDoNotFitAreRefusedAndArriveWholeInTheMemoryThatIsNamed) {
  const TempDir dir;
  const std::string file = random_file(dir, 60 << 20);
  const ProgramResult refused =
      run(glassbox({"run", "--memory", "128", "--add", file + ":/big", "--", "true"}));
  EXPECT_EQ(refused.status, 125);
  const std::size_t at = refused.err.rfind("--memory ");
  ASSERT_NE(at, std::string::npos) << refused.err;
  const std::string enough = std::to_string(std::stoul(refused.err.substr(at + 9)));
  const std::string sum = run({"/usr/bin/md5sum", file}).out.substr(0, 32);
  EXPECT_THAT(run(glassbox({"run", "--memory", enough, "--add", file + ":/big", "--", "md5sum", "/big"})).out,
              HasSubstr(sum));
}

// Its first program waits for keys of a console that has none.
TEST_F(OwnGuest, AStartHasALimit) {
  const ProgramResult result =
      run(glassbox({"run", "--start-timeout", "5", "--append", "rdinit=/bin/cat", "--", "true"}));
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("--start-timeout"));
  EXPECT_TRUE(nothing_left());
}

// Two boots, because a random address may by chance be the linked one.
TEST_F(OwnGuest, KaslrIsOnUnlessTheUserTurnsItOff) {
  const auto text = [](std::vector<std::string> options) {
    std::vector<std::string> argv{"run"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.insert(argv.end(), {"--", "grep", "-m1", " _text$", "/proc/kallsyms"});
    const ProgramResult result = run(glassbox(argv));
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out.substr(0, result.out.find(' '));
  };
  const std::string linked = text({"--append", "nokaslr"});
  EXPECT_EQ(linked, "ffffffff81000000");
  EXPECT_TRUE(text({}) != linked || text({}) != linked);
}

TEST_F(OwnGuest, PanicIs120AndShowsTheConsole) {
  const ProgramResult result =
      run(glassbox({"run", "--", "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 1000"}));
  EXPECT_EQ(result.status, 120) << result.err;
  EXPECT_THAT(result.err, HasSubstr("panic"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(OwnGuest, PowerOffIs121AlsoForExec) {
  ASSERT_EQ(run(glassbox({"run", "-d", "--name", "off"})).status, 0);
  const ProgramResult result = run(glassbox({"exec", "off", "--", "sh", "-c", "poweroff; sleep 1000"}));
  EXPECT_EQ(result.status, 121) << result.err;
  EXPECT_THAT(result.err, HasSubstr("powered off"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(OwnGuest, SignalDuringTheBootEndsIt) {
  Process process = Process::start(glassbox({"run", "--name", "early", "--", "true"}));
  while (run(glassbox({"ls"})).out.find("early") == std::string::npos) {
  }
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().status, 128 + SIGINT);
  EXPECT_TRUE(nothing_left());
}

TEST_F(OwnGuest, KilledMonitorIsNotListedAndItsNameIsFree) {
  Process process = Process::start(glassbox({"run", "--name", "gone", "--", "true"}));
  while (run(glassbox({"ls"})).out.find("gone") == std::string::npos) {
  }
  process.signal(SIGKILL);
  EXPECT_EQ(process.wait().status, 128 + SIGKILL);
  EXPECT_THAT(run(glassbox({"ls"})).out, Not(HasSubstr("gone")));
  EXPECT_EQ(run(glassbox({"run", "--name", "gone", "--", "true"})).status, 0);
  EXPECT_TRUE(nothing_left());
}

TEST_F(OwnGuest, Sigusr1PrintsTheNatsCounters) {
  Process vm = Process::start(
      glassbox({"run", "--", "sh", "-c", "ping -c 1 -W 60 10.0.2.2 && nc -w 60 10.0.2.2 9; read line"}),
      "/dev/null", true);
  ASSERT_TRUE(vm.wait_for("1 packets received"));
  ASSERT_TRUE(vm.wait_for("refused"));  // host loopback is closed
  vm.signal(SIGUSR1);
  ASSERT_TRUE(vm.wait_for("guest frames: "));
  EXPECT_TRUE(vm.wait_for("flow refused: host loopback is closed (--allow-host-loopback): 1"));
  vm.type("\n");
  EXPECT_EQ(vm.wait().status, 0);
  EXPECT_TRUE(nothing_left());
}

// --- without a guest ---

TEST_F(OwnGuest, MistakesAreOneLineWithARemedy) {
  const TempDir dir;
  const auto kernel = run(glassbox({"run", "--kernel", "/no/such/kernel", "--", "true"}));
  EXPECT_EQ(kernel.status, 125);
  EXPECT_THAT(kernel.err, HasSubstr("/no/such/kernel"));
  const std::string half =
      dir.write("half", content(glassbox({})[0] + "/../guest/initramfs.cpio").substr(0, 100'000));
  const auto truncated = run(glassbox({"run", "--initrd", half, "--", "true"}));
  EXPECT_EQ(truncated.status, 125);
  const auto no_kernel = run(glassbox({"run", "--kernel", "/etc/passwd", "--", "true"}));
  EXPECT_EQ(no_kernel.status, 125);
  const auto name = run(glassbox({"run", "--name", "../x", "--", "true"}));
  EXPECT_EQ(name.status, 125);
  const auto option = run(glassbox({"run", "--no-such-option"}));
  EXPECT_EQ(option.status, 125);
  const auto added = run(glassbox({"run", "--add", "/no/such/file", "--", "true"}));
  EXPECT_EQ(added.status, 125);
  for (const ProgramResult& result : {kernel, truncated, no_kernel, name, option, added}) {
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(run(glassbox({"ls", "--no-such-option"})).status, 2);
  EXPECT_EQ(run(glassbox({"--help"})).status, 0);
  EXPECT_THAT(run(glassbox({"run", "--help"})).out, HasSubstr("Exit status"));
  EXPECT_THAT(run(glassbox({"--version"})).out, HasSubstr("glassbox "));
  EXPECT_TRUE(nothing_left());
}

}  // namespace
}  // namespace glassbox::test
