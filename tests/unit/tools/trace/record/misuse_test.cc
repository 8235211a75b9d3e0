// glassbox-trace with wrong arguments, bad files and full disks: it prints one line that names the thing and
// what is wrong with it, and exits with the status that --help promises.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "bpf/probes.h"
#include "tests/unit/tools/trace/run_program.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::string kTrace = GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/fork.trace";

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Misuse : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(dir_); }
  void TearDown() override { fs::remove_all(dir_); }
  [[nodiscard]] std::string file(const std::string& name) const { return (dir_ / name).string(); }
  [[nodiscard]] std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }
  const fs::path dir_ = fs::temp_directory_path() / fmt::format("gb-misuse-{}", ::getpid());
};

// Fires probes until it is killed.
class Firing {
 public:
  Firing() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (std::uint32_t k = 0;; ++k) {
      probe::rx_inject(1, k, 66, 16, 0);
      ::usleep(10);
    }
  }
  Firing(const Firing&) = delete;
  Firing& operator=(const Firing&) = delete;
  ~Firing() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

TEST_F(Misuse, NumbersOutOfRange) {
  expect_one_line(run_program("report " + kTrace + " --cycle 999999999"), 2,
                  "--cycle 999999999: " + kTrace + " has 6 cycles");
  for (const char* wrong : {"-1", "0", "x", "1.5", "99999999999999999999999999"}) {
    for (const char* option : {"--cycle", "--slowest"}) {
      const Ran run = run_program(fmt::format("report {} {} {}", kTrace, option, wrong));
      expect_one_line(run, 2, fmt::format("{}: \"{}\" is not a whole number from 1 on", option, wrong));
    }
    expect_one_line(run_program(fmt::format("record -o x --pid {}", wrong)), 2, "--pid: ");
  }
  for (const char* wrong : {"0", "-3", "nan", "inf", "1e300", "soon"})
    expect_one_line(run_program(fmt::format("record -o x --pid 1 --duration {}", wrong)), 2,
                    fmt::format("--duration: \"{}\" is not a number of seconds above 0", wrong));
  expect_one_line(run_program("record -o x --pid 1 --ready-fd 77"), 2,
                  "--ready-fd: \"77\" is not an open descriptor above 2");
  expect_one_line(run_program("record -o x --pid 1 --ring-mib 3"), 2, "--ring-mib: 3 not in {1,2,4,8");
}

TEST_F(Misuse, FilesThatAreNotTraces) {
  expect_one_line(run_program("report " + file("empty", "")), 1, "not a glassbox trace (empty)");
  expect_one_line(run_program("report " + file("short", bytes_of(kTrace).substr(0, 20))), 1,
                  "not a glassbox trace (only 20 bytes)");
  expect_one_line(run_program("report /dev/zero"), 1, "not a regular file");
  expect_one_line(run_program("report " + dir_.string()), 1, "not a regular file");
  ASSERT_EQ(::mkfifo(file("fifo").c_str(), 0600), 0);
  expect_one_line(run_program("report " + file("fifo")), 1, "not a regular file");
}

TEST_F(Misuse, HugeFiles) {
  const std::string nothing = file("nothing", ""), tail = file("tail", bytes_of(kTrace));
  fs::resize_file(nothing, std::uintmax_t{1} << 33);
  fs::resize_file(tail, fs::file_size(tail) + (std::uintmax_t{1} << 30));
  expect_one_line(run_program("report " + tail), 1, fmt::format("zeros at offset {}", fs::file_size(kTrace)));
  fs::resize_file(tail, std::uintmax_t{1} << 42);
  expect_one_line(run_program("report " + tail), 1,
                  "a trace of 4194304 MiB does not fit into this machine's memory");
  fs::resize_file(nothing, std::uintmax_t{1} << 42);
  expect_one_line(run_program("report " + nothing), 1, "does not fit into this machine's memory");
}

TEST_F(Misuse, AReportThatCannotBeWrittenIsAFailure) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  for (const char* what :
       {"report %", "report % --format json", "report % --cycle 1", "report % --states", "probes"}) {
    std::string arguments = what;
    if (const std::size_t at = arguments.find('%'); at != std::string::npos) arguments.replace(at, 1, kTrace);
    // Order matters: first stderr is the pipe, then stdout goes elsewhere.
    expect_one_line(run_program(arguments + " 2>&1 >/dev/full"), 1,
                    "cannot write to standard output: No space left on device");
    expect_one_line(run_program(arguments + " 2>&1 >&-"), 1,
                    "cannot write to standard output: Bad file descriptor");
  }
}

TEST_F(Misuse, TargetsThatCannotBeRecorded) {
  if (::geteuid() != 0) GTEST_SKIP() << "attaching USDT probes needs root";
  expect_one_line(run_program("record --pid 4194304 -o " + file("x")), 1,
                  "there is no process 4194304: `glassbox ls` lists the running VMs");
  const pid_t foreign = ::fork();
  if (foreign == 0) {
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(127);
  }
  while (fs::read_symlink(fmt::format("/proc/{}/exe", foreign)).filename() == "trace_record_test")
    ::usleep(1000);
  expect_one_line(run_program(fmt::format("record --pid {} -o {}", foreign, file("x"))), 1,
                  "give the pid of `glassbox run` or `glassbox netns`");
  ::kill(foreign, SIGKILL);
  ::waitpid(foreign, nullptr, 0);
  EXPECT_FALSE(fs::exists(file("x"))) << "no file is created before the target is known";
  const Firing firing;
  expect_one_line(
      run_program(fmt::format("record --pid {} -o {}/no/such/place", firing.pid(), dir_.string())), 1,
      "cannot create the trace: No such file or directory");
  expect_one_line(run_program(fmt::format("record --pid {} -o {}", firing.pid(), dir_.string())), 1,
                  "cannot create the trace: Is a directory");
  expect_one_line(run_program(fmt::format("record --pid {} -o /dev/full", firing.pid())), 1,
                  "/dev/full: cannot write to the trace");
}

TEST_F(Misuse, AnOrdinaryUserIsToldToUseRoot) {
  if (::geteuid() != 0 || std::system("command -v setpriv >/dev/null") != 0)
    GTEST_SKIP() << "needs root and setpriv to become an ordinary user";
  const std::string user = "setpriv --reuid 65534 --regid 65534 --clear-groups " GLASSBOX_TRACE_PROGRAM " ";
  const Firing firing;
  const Ran run = run_command(fmt::format("{} record --pid {} -o {} 2>&1", user, firing.pid(), file("x")));
  expect_one_line(run, 1, "needs CAP_SYS_ADMIN (for USDT probes): run it as root");
}

// A disk of 64 KiB: one line of error, and the file can be read.
TEST_F(Misuse, AFullDiskEndsTheRecordingAndLeavesWhatFitted) {
  if (::geteuid() != 0) GTEST_SKIP() << "attaching USDT probes and mounting need root";
  const Firing firing;
  const std::string steps = fmt::format(
      "mount -t tmpfs -o size=64k tmpfs {0} && {{ {1} record --pid {2} -o {0}/t 2>{0}.said; echo status $?; "
      "{1} report {0}/t 2>&1; }}",
      dir_.string(), GLASSBOX_TRACE_PROGRAM, firing.pid());
  const Ran run = run_command("unshare --mount sh -c '" + steps + "'");
  EXPECT_THAT(run.output, ::testing::StartsWith("status 1\n"));
  EXPECT_THAT(run.output, HasSubstr("note: the trace is truncated: its last events are missing"));
  const std::string said = bytes_of(dir_.string() + ".said");
  EXPECT_EQ(said,
            "glassbox-trace: error: " + file("t") +
                ": cannot write to the trace (it stays readable up to here): No space left on device\n");
  fs::remove(dir_.string() + ".said");
}

// The first file that is opened would get a closed standard descriptor: no message may end up in the trace.
TEST_F(Misuse, ARecorderWithoutStandardDescriptorsWritesAGoodTrace) {
  if (::geteuid() != 0) GTEST_SKIP() << "attaching USDT probes needs root";
  const Firing firing;
  const Ran run = run_command(fmt::format("{} record --pid {} --duration 0.2 -o {} <&- >&- 2>&-",
                                          GLASSBOX_TRACE_PROGRAM, firing.pid(), file("t")));
  EXPECT_EQ(run.status, 0);
  const Ran full = run_command(fmt::format("{} record --pid {} --duration 0.2 -o {} 2>/dev/full",
                                           GLASSBOX_TRACE_PROGRAM, firing.pid(), file("full")));
  EXPECT_EQ(full.status, 0);
  EXPECT_EQ(bytes_of(file("t")).substr(0, 8), "GBTRACE\n");
  EXPECT_THAT(run_program("report " + file("t")).output, HasSubstr("host side only"));
}

}  // namespace
}  // namespace glassbox::trace
