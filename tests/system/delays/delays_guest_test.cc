// Known delays with a guest: its client sleeps, its kernel is slow, or a thread of the monitor is kept off
// the CPU. The report must put each delay where it was made. One VM for all cases.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tests/delays/case.h"
#include "tests/delays/spinner.h"
#include "tests/delays/thread_quota.h"
#include "tools/bench/process/child.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/kvm/usability.h"

namespace glassbox::delays {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kBootLimitMs = 240'000;
// A delay is several typical cycles long, so that it stands out however busy the machine is. A cycle takes
// about 5 ms in an idle lab and ten times as much next to a build.
constexpr int kTypicalCycles = 10;
constexpr microseconds kShortest = milliseconds(40), kLongest = milliseconds(500);
constexpr std::size_t kPairs = 40;

std::string program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / name;
}

Status run(std::vector<std::string> argv) {
  const std::string what = argv[0] + " " + argv[1];
  GB_ASSIGN(auto child, bench::Child::start({.what = what, .argv = std::move(argv)}));
  if (!child->wait(kBootLimitMs)) return fail("{} has not ended after {} s", what, kBootLimitMs / 1000);
  if (!child->reap()->ok()) return fail("{}", child->how_it_ended());
  return {};
}

class DelaysGuest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0 || !kvm::check_kvm().usable) return;
    name_ = "delays-" + std::to_string(::getpid());
    const Status started = run({program("glassbox"), "run", "-d", "--name", name_, "--allow-host-loopback",
                                "--memory", "896", "--add", program("tests/delay-crr") + ":/delay-crr"});
    ASSERT_TRUE(started) << started.error().message;
    const auto vm = find_running_vm(name_);
    ASSERT_TRUE(vm) << vm.error().message;
    pid_ = vm->pid;
    const auto typical = typical_cycle(site());
    ASSERT_TRUE(typical) << typical.error().message;
    delay_ =
        std::clamp(std::chrono::duration_cast<microseconds>(*typical) * kTypicalCycles, kShortest, kLongest);
    std::printf("a cycle takes %.1f ms, a delay is %.1f ms\n", static_cast<double>(typical->count()) / 1e6,
                static_cast<double>(delay_.count()) / 1e3);
  }
  static void TearDownTestSuite() {
    if (pid_ == 0) return;
    const Status stopped = run({program("glassbox"), "stop", name_});
    EXPECT_TRUE(stopped) << stopped.error().message;
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (const auto kvm = kvm::check_kvm(); !kvm.usable) GTEST_SKIP() << kvm.reason << ": run it in the lab";
    ASSERT_NE(pid_, 0);
  }

  static Site site() {
    return {.client =
                [](std::uint16_t port) {
                  return std::vector<std::string>{
                      program("glassbox"), "exec", name_, "--", "/delay-crr", "10.0.2.2",
                      std::to_string(port)};
                },
            .record =
                [](pid_t) {
                  return std::vector<std::string>{"--name", name_};
                }};
  }
  static std::string sleep() { return std::to_string(delay_.count()); }  // in us, for delay-crr

  static inline std::string name_;
  static inline pid_t pid_ = 0;
  static inline microseconds delay_ = kShortest;
};

TEST_F(DelaysGuest, ClientSleepsBeforeConnect) {
  EXPECT_TRUE(holds({.name = "client sleeps before connect",
                     .expect = {"guest_client_start", "guest_client"},
                     .client_options = {"--before-connect", sleep()},
                     .pairs = kPairs},
                    site()));
}

TEST_F(DelaysGuest, ClientSleepsBeforeSend) {
  EXPECT_TRUE(holds({.name = "client sleeps before send",
                     .expect = {"guest_request", "guest_client"},
                     .client_options = {"--before-send", sleep()},
                     .pairs = kPairs},
                    site()));
}

TEST_F(DelaysGuest, ClientSleepsBeforeClose) {
  EXPECT_TRUE(holds({.name = "client sleeps before close",
                     .expect = {"guest_close", "guest_client"},
                     .client_options = {"--before-close", sleep()},
                     .pairs = kPairs},
                    site()));
}

TEST_F(DelaysGuest, GuestForksALargeParent) {
  EXPECT_TRUE(holds({.name = "guest forks a fat process",
                     .expect = {"guest_fork_exec", "guest_fork_exec"},
                     .client_options = {"--fat", "512"},
                     .pairs = kPairs},
                    site()));
}

TEST_F(DelaysGuest, SynIsLostOnce) {
  EXPECT_TRUE(holds({.name = "SYN lost once",
                     .expect = {"guest_syn_out", "retransmission"},
                     .client_options = {"--lose-syn", "eth0"},
                     .pairs = 12},
                    site()));
}

TEST_F(DelaysGuest, NetworkThreadIsHeldBack) {
  const pid_t net = thread_named(pid_, "gb-net");
  ASSERT_NE(net, 0);
  auto quota = ThreadQuota::create(pid_, net);
  ASSERT_TRUE(quota) << quota.error().message;
  std::int64_t before_ns = 0;
  EXPECT_TRUE(holds({.name = "network thread held back",
                     .expect = {std::string(kRunnable), "net_not_scheduled", Starved::kNetwork},
                     .measured_by = MeasuredBy::kInjector,
                     .pairs = kPairs,
                     .before = [&](bool delayed) -> Status {
                       // If the thread is runnable when it is held, it waits for work from before the
                       // cycle: hold it again.
                       for (bool again = delayed; again; again = is_runnable(pid_, net)) {
                         GB_TRY((*quota)->release());
                         GB_TRY((*quota)->hold());
                       }
                       before_ns = run_delay_ns(pid_, net);
                       return {};
                     },
                     .during = [&](bool delayed) -> Status {
                       if (!delayed) return {};
                       ::usleep(static_cast<useconds_t>(delay_.count()));
                       return (*quota)->release();
                     },
                     .measure = [&] { return run_delay_ns(pid_, net) - before_ns; }},
                    site()));
}

TEST_F(DelaysGuest, VcpuIsStarved) {
  const pid_t vcpu = thread_named(pid_, "vcpu0");
  ASSERT_NE(vcpu, 0);
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two CPUs: one is kept busy";
  // The monitor and this test run on CPU 0, the vCPU alone on CPU 1.
  ASSERT_TRUE(pin(pid_, 1));
  ASSERT_TRUE(pin(::getpid(), 1));
  ASSERT_TRUE(pin_thread(vcpu, 2));
  Spinner spinner(1);
  const auto starve = [&](int, bool delayed) { spinner.spin_for(delayed ? 2 * delay_ : microseconds(0)); };
  // Measured by the scheduler's run delay. The client's clock also includes slow wake-ups of the vCPU.
  std::int64_t before_ns = 0;
  EXPECT_TRUE(holds({.name = "vCPU starved",
                     .expect = {std::string(kRunnable), "vcpu_not_scheduled", Starved::kVcpu},
                     .server = {.before_reply = starve},
                     .measured_by = MeasuredBy::kInjector,
                     .pairs = kPairs,
                     .before = [&](bool) -> Status {
                       before_ns = run_delay_ns(pid_, vcpu);
                       return {};
                     },
                     .measure = [&] { return run_delay_ns(pid_, vcpu) - before_ns; }},
                    site()));
  constexpr std::uint64_t kAnywhere = ~std::uint64_t{0};
  EXPECT_TRUE(pin(pid_, kAnywhere));
  EXPECT_TRUE(pin(::getpid(), kAnywhere));
}

}  // namespace
}  // namespace glassbox::delays
