// Every script of tools/bpftrace, run as a user would, on a process that fires a known sequence of probes.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "bpf/reasons.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bpf {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

struct Child {
  pid_t pid = -1;
  UniqueFd in;   // write end of its stdin
  UniqueFd out;  // read end of its stdout and stderr
};

Child start(const std::vector<std::string>& command, bool needs_tracefs) {
  int in[2];
  int out[2];
  EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(out[1], 2);
    // bpftrace 0.17 complains on detaching where tracefs is not mounted, as on a bare system.
    if (needs_tracefs && access("/sys/kernel/tracing/events", F_OK) != 0) {
      if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) != 0) {
        _exit(126);
      }
    }
    std::vector<char*> argv;
    for (const std::string& word : command)
      argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  return {pid, UniqueFd(in[1]), UniqueFd(out[0])};
}

std::string read_to_end(const UniqueFd& fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(fd.get(), buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool waits_for_events(pid_t pid) {
  const std::string call = read_file(fmt::format("/proc/{}/syscall", pid));
  return call.starts_with(fmt::format("{} ", SYS_epoll_wait)) ||
         call.starts_with(fmt::format("{} ", SYS_epoll_pwait)) ||
         call.starts_with(fmt::format("{} ", SYS_epoll_pwait2));
}

std::string script_path(const std::string& name) {
  return std::string(BPFTRACE_SCRIPTS) + "/" + name;
}

// How many values the histogram `name` holds; -1 if it is not in the output.
int histogram_total(const std::string& output, const std::string& name) {
  std::istringstream lines(output);
  std::string line;
  while (std::getline(lines, line) && !line.starts_with(name + ": ")) {
  }
  if (!lines) return -1;
  // "[1, 2)               10 |@@@@    |"
  int total = 0;
  while (std::getline(lines, line) && line.starts_with('[')) {
    const std::size_t range_end = line.find_first_of("])");
    if (range_end == std::string::npos) break;
    total += std::atoi(line.c_str() + range_end + 1);
  }
  return total;
}

class BpftraceScript : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "bpftrace needs root";
    if (std::system("command -v bpftrace >/dev/null") != 0) GTEST_SKIP() << "bpftrace is not installed";
  }

  // What the script prints about one batch of ten cycles.
  static std::string output_of(const std::string& name) {
    Child target = start({PROBE_CYCLES}, false);
    const Child bpftrace = start({script_path(name), "-p", std::to_string(target.pid)}, true);
    // It waits for events once everything is attached, and for nothing before.
    siginfo_t ended{};
    while (ended.si_pid == 0 && !waits_for_events(bpftrace.pid)) {
      sched_yield();
      EXPECT_EQ(waitid(P_PID, static_cast<id_t>(bpftrace.pid), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    EXPECT_EQ(write(target.in.get(), "go\n", 3), 3);
    char answer[5];
    EXPECT_EQ(read(target.out.get(), answer, sizeof(answer)), 5);
    kill(bpftrace.pid, SIGINT);
    std::string text = read_to_end(bpftrace.out);
    int status = 0;
    EXPECT_EQ(waitpid(bpftrace.pid, &status, 0), bpftrace.pid);
    EXPECT_EQ(status, 0) << text;
    target.in.reset();
    waitpid(target.pid, nullptr, 0);
    return text;
  }
};

TEST_F(BpftraceScript, ConnectLatency) {
  const std::string out = output_of("connect-latency.bt");
  EXPECT_THAT(out, HasSubstr("@connects: 10"));
  EXPECT_EQ(histogram_total(out, "@connect_us[immediate]"), 5) << out;
  EXPECT_EQ(histogram_total(out, "@connect_us[asynchronous]"), 5) << out;
  EXPECT_THAT(out, HasSubstr("@failed_errno[111]: 2"));
}

TEST_F(BpftraceScript, NetPollWait) {
  const std::string out = output_of("net-poll-wait.bt");
  EXPECT_THAT(out, HasSubstr("@waits[kick]: 20"));
  for (const char* cause : {"socket", "timeout", "empty", "poll"}) {
    EXPECT_THAT(out, HasSubstr(fmt::format("@waits[{}]: 10\n", cause)));
    EXPECT_EQ(histogram_total(out, fmt::format("@wait_us[{}]", cause)), 10) << out;
  }
  EXPECT_THAT(out, testing::Not(HasSubstr("[error]")));
}

TEST_F(BpftraceScript, FramesPerWake) {
  const std::string out = output_of("frames-per-wake.bt");
  EXPECT_THAT(out, HasSubstr("@wakes: 60"));
  EXPECT_THAT(out, HasSubstr("@interrupts[raised]: 10"));
  EXPECT_THAT(out, HasSubstr("@interrupts[suppressed]: 10"));
  // Of six wakes a cycle, one takes one frame, one takes two, four take none.
  EXPECT_THAT(
      out,
      ContainsRegex("@frames_from_guest: *\n\\[0, 1\\) +40 [^\n]*\n\\[1, 2\\) +10 [^\n]*\n\\[2, 3\\) +10 "));
  EXPECT_THAT(out, ContainsRegex("@frames_to_guest: *\n\\[0, 1\\) +40 [^\n]*\n\\[1, 2\\) +20 "));
}

TEST_F(BpftraceScript, CyclePhases) {
  const std::string out = output_of("cycle-phases.bt");
  EXPECT_THAT(out, HasSubstr("@cycles: 10"));
  for (const char* phase :
       {"1_syn_frame_to_new_flow", "2_new_flow_to_connect_issued", "3_connect_issued_to_done",
        "4_connect_done_to_syn_ack_queued", "5_syn_ack_queued_to_published",
        "6_syn_ack_published_to_request_sent", "7_request_sent_to_reply_received",
        "8_reply_received_to_published", "9_reply_published_to_flow_closed"}) {
    EXPECT_EQ(histogram_total(out, fmt::format("@us_{}", phase)), 10) << out;
  }
}

TEST_F(BpftraceScript, Drops) {
  const std::string out = output_of("drops.bt");
  EXPECT_THAT(out, HasSubstr("@frames_dropped[9, IP fragment]: 3"));
  EXPECT_THAT(out, HasSubstr("@bytes_dropped: 300"));
  EXPECT_THAT(out, HasSubstr("@flows_refused[8, flow table full]: 1"));
  EXPECT_THAT(out, HasSubstr("@flows_closed[1, both sides closed]: 10"));
}

TEST(BpftraceScripts, EveryScriptHasATestAndRunsAsItStands) {
  const std::set<std::string> tested = {"connect-latency.bt", "net-poll-wait.bt", "frames-per-wake.bt",
                                        "cycle-phases.bt", "drops.bt"};
  std::set<std::string> present;
  for (const auto& entry : std::filesystem::directory_iterator(BPFTRACE_SCRIPTS)) {
    if (entry.path().extension() != ".bt") continue;
    present.insert(entry.path().filename());
    EXPECT_EQ(access(entry.path().c_str(), X_OK), 0) << entry.path();
    EXPECT_THAT(read_file(entry.path()), testing::StartsWith("#!/usr/bin/env bpftrace\n"));
  }
  EXPECT_EQ(present, tested);
}

TEST(BpftraceScripts, DropsKnowsEveryReason) {
  const std::string text = read_file(script_path("drops.bt"));
  const auto expect_names = [&](const char* map, const auto& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_THAT(text, HasSubstr(fmt::format("  @{}[{}] = \"{}\";\n", map, i, names[i])));
    }
  };
  expect_names("close", kCloseReasonNames);
  expect_names("refuse", kRefuseReasonNames);
  expect_names("drop", kDropReasonNames);
}

}  // namespace
}  // namespace glassbox::bpf
