// Every script of tools/bpftrace at native speed, on `glassbox netns`. Its command runs a known number of
// cycles, two connections that are refused, and one datagram to a port that the NAT does not serve.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>

#include "tests/system/bench/bpftrace_script.h"
#include "tests/system/bench/live_vm.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kCycles = 20;

// Runs `glassbox netns` with a command that waits for work(), does it, and stays until the object is
// destroyed.
class NetnsWorkload {
 public:
  explicit NetnsWorkload(const std::string& port) {
    std::filesystem::create_directories(directory_);
    for (const char* name : {"go", "done"})
      EXPECT_EQ(::mkfifo((directory_ / name).c_str(), 0600), 0);
    const std::string work = fmt::format(
        "read go < go; {0} 10.0.2.2 {1} --cycles {2} > /dev/null; status=$?; {0} 10.0.2.2 1 --cycles 1 2> "
        "/dev/null; echo x > /dev/udp/10.0.2.3/9; {0} 10.0.2.2 1 --cycles 1 2> /dev/null; "
        "echo $status > done; read go < go",
        program_path("guest/gb-crr"), port, kCycles);
    auto child =
        Child::start({.what = "glassbox netns",
                      .argv = {program_path("glassbox"), "netns", "--allow-host-loopback", "--", "bash", "-c",
                               fmt::format("cd {} && {}", directory_.string(), work)}});
    EXPECT_TRUE(child.has_value());
    if (!child) return;
    child_ = std::move(*child);
    std::error_code error;
    while (std::filesystem::read_symlink(fmt::format("/proc/{}/exe", child_->pid()), error) !=
           program_path("glassbox"))
      if (child_->wait(10)) return;
  }
  ~NetnsWorkload() {
    child_.reset();
    std::filesystem::remove_all(directory_);
  }
  NetnsWorkload(const NetnsWorkload&) = delete;
  NetnsWorkload& operator=(const NetnsWorkload&) = delete;

  // The reason why it does not run; empty if it does.
  [[nodiscard]] std::string why_not() const {
    return !child_ ? "it does not start" : child_->reap() ? child_->how_it_ended() : "";
  }
  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  // Starts the work and waits until it has succeeded. The NAT has then finished with every cycle: it handles
  // frames in order, and the refused connection after the cycles was answered.
  void work() const {
    std::ofstream(directory_ / "go") << "go\n";
    int status = -1;
    std::ifstream(directory_ / "done") >> status;
    EXPECT_EQ(status, 0);
  }

 private:
  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / fmt::format("gb-bpftrace-netns-{}", ::getpid());
  std::unique_ptr<Child> child_;
};

const std::map<std::string, std::function<void(const std::string&)>> kChecks = {
    {"connect-latency.bt",
     [](const std::string& out) {
       EXPECT_EQ(counter(out, "@connects"), kCycles + 2);
       EXPECT_EQ(histogram_total(out, "@connect_us"), kCycles + 2);
       EXPECT_EQ(counter(out, "@failed_errno[111]"), 2);
     }},
    {"cycle-phases.bt",
     [](const std::string& out) {
       EXPECT_EQ(counter(out, "@cycles"), kCycles);
       // The two refused connections reach the end of connect(), too.
       for (const int phase : {1, 2, 3})
         EXPECT_EQ(histogram_total(out, fmt::format("@us_{}_", phase)), kCycles + 2) << phase;
       for (const int phase : {4, 5, 6, 7, 8, 9})
         EXPECT_EQ(histogram_total(out, fmt::format("@us_{}_", phase)), kCycles) << phase;
     }},
    {"drops.bt",
     [](const std::string& out) {
       EXPECT_EQ(counter(out, "@flows_closed[1, both sides closed]"), kCycles);
       EXPECT_EQ(counter(out, "@flows_refused[1, host connect: refused]"), 2);
       EXPECT_EQ(counter(out, "@frames_dropped[25, UDP to a port that is not served]"), 1);
       EXPECT_GT(counter(out, "@bytes_dropped"), 0);
     }},
    {"frames-per-wake.bt",
     [](const std::string& out) {
       EXPECT_GE(counter(out, "@wakes"), kCycles);
       EXPECT_EQ(histogram_total(out, "@frames_from_guest"), counter(out, "@wakes"));
       EXPECT_EQ(histogram_total(out, "@frames_to_guest"), counter(out, "@wakes"));
       EXPECT_THAT(out, Not(HasSubstr("@interrupts["))) << "a tap device raises no interrupts";
     }},
    {"net-poll-wait.bt",
     [](const std::string& out) {
       int waits = 0;
       for (const char* cause : {"kick", "socket", "empty", "timeout", "poll"}) {
         waits += counter(out, fmt::format("@waits[{}]", cause));
         EXPECT_EQ(histogram_total(out, fmt::format("@wait_us[{}]", cause)),
                   counter(out, fmt::format("@waits[{}]", cause)));
       }
       EXPECT_GE(waits, kCycles);
       EXPECT_GE(counter(out, "@waits[kick]"), kCycles);
       EXPECT_THAT(out, Not(HasSubstr("[error]")));
     }},
};

TEST(BpftraceNetns, EveryScriptCountsTheCommandsWork) {
  if (::geteuid() != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0)
    GTEST_SKIP() << "needs root and /dev/net/tun";
  if (run({"bpftrace", "--version"}).status != 0) GTEST_SKIP() << "bpftrace is not installed";
  const EchoThread server;
  std::size_t scripts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tools/bpftrace")) {
    if (entry.path().extension() != ".bt") continue;
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    ++scripts;
    const auto check = kChecks.find(name);
    ASSERT_NE(check, kChecks.end()) << "add a check of this script's output to kChecks";
    const NetnsWorkload workload(server.port());
    ASSERT_EQ(workload.why_not(), "");
    const std::string out =
        run_script(entry.path(), workload.pid(), program_path("glassbox"), [&workload] { workload.work(); });
    check->second(out);
    EXPECT_THAT(repeated_entries(out), ::testing::IsEmpty());
    if (HasFailure()) std::printf("--- %s\n%s", name.c_str(), out.c_str());
  }
  EXPECT_EQ(scripts, kChecks.size());
}

}  // namespace
}  // namespace glassbox::bench::testing
