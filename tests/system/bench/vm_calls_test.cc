// How many system calls the network thread makes for a CRR of a guest. A count: the same at any speed, but
// for the acknowledgement of the request, which only a reply within net/ack_hold.h's time carries.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/system/bench/system_test.h"
#include "tools/bench/echo.h"
#include "tools/bench/net/syscall_count.h"
#include "vmm/base/lab.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/kvm/usability.h"

namespace glassbox::bench::testing {
namespace {

constexpr int kCycles = 200;
constexpr double kMostCalls = 16;  // 14.7 on a busy machine when it was written

// An echo server on a thread of ours.
class EchoThread {
 public:
  EchoThread()
      : listener_(std::move(*listen_on_loopback(0))),
        thread_([this] { (void)serve_echo(listener_, {}, served_); }) {}
  ~EchoThread() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string port() const { return std::to_string(*bound_port(listener_)); }

 private:
  UniqueFd listener_;
  std::atomic<std::uint64_t> served_{0};
  std::thread thread_;
};

class LiveVm {
 public:
  explicit LiveVm(std::vector<std::string> options) : name_(fmt::format("calls-test-{}", ::getpid())) {
    std::vector<std::string> argv{program_path("glassbox"), "run", "-d", "--name", name_,
                                  "--allow-host-loopback"};
    argv.insert(argv.end(), options.begin(), options.end());
    const Outcome started = run(std::move(argv));
    EXPECT_EQ(started.status, 0) << started.err;
    if (const auto vm = find_running_vm(name_)) pid_ = vm->pid;
  }
  ~LiveVm() { EXPECT_EQ(run({program_path("glassbox"), "stop", name_}).status, 0); }
  pid_t pid() const { return pid_; }
  Outcome exec(std::vector<std::string> command) const {
    std::vector<std::string> argv{program_path("glassbox"), "exec", name_, "--"};
    argv.insert(argv.end(), command.begin(), command.end());
    return run(std::move(argv));
  }

 private:
  std::string name_;
  pid_t pid_ = 0;
};

pid_t thread_named(pid_t pid, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::string found;
    std::getline(std::ifstream(entry.path() / "comm"), found);
    if (found == name) return std::stoi(entry.path().filename());
  }
  return 0;
}

TEST(VmCalls, ACycleTakesFew) {
  if (::geteuid() != 0) GTEST_SKIP() << "counting system calls needs root";
  if (!in_lab() && !kvm::check_kvm().usable)
    GTEST_SKIP() << "no usable KVM here: run it inside the lab (tools/in-lab)";
  const LiveVm vm({"--poll", "off", "--vcpus", "2"});
  ASSERT_GT(vm.pid(), 0);
  const EchoThread server;
  const auto cycles = [&](int count) {
    const Outcome done = vm.exec({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(count)});
    EXPECT_EQ(done.status, 0) << done.err;
  };
  cycles(10);  // addresses are resolved, the program is in the guest's cache
  const pid_t thread = thread_named(vm.pid(), "gb-net");
  ASSERT_GT(thread, 0);
  const auto counter = SyscallCount::start(vm.pid(), thread);
  ASSERT_TRUE(counter.has_value()) << counter.error().message;
  const auto before = (*counter)->counts();
  cycles(kCycles);
  double total = 0;
  for (const auto& [number, count] : (*counter)->counts()) {
    const auto earlier = before.find(number);
    const double each =
        static_cast<double>(count - (earlier == before.end() ? 0 : earlier->second)) / kCycles;
    std::printf("%-14s %.2f\n", syscall_name(number).c_str(), each);
    total += each;
  }
  std::printf("%-14s %.2f a CRR\n", "all", total);
  EXPECT_GT(total, 8);
  EXPECT_LE(total, kMostCalls);
}

}  // namespace
}  // namespace glassbox::bench::testing
