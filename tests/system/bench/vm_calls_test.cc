// How many system calls the network thread makes for one CRR of a guest. The count does not depend on speed,
// with one exception: the reply carries the acknowledgement of the request only within the hold time of
// net/tcp/ack_hold.h.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/system/bench/live_vm.h"
#include "tools/bench/measure/kernel_counter.h"

namespace glassbox::bench::testing {
namespace {

constexpr int kCycles = 200;
// Ten calls for sockets, payload and interrupts, and at most one wait for each of six events: SYN, request,
// reply, end of file, acknowledgement of the reply, the guest's FIN. The acknowledgements of the SYN-ACK and
// of the last FIN bring no kick. Measured: 14.5 to 16.2.
constexpr double kMostCalls = 16.8;

pid_t thread_named(pid_t pid, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::string found;
    std::getline(std::ifstream(entry.path() / "comm"), found);
    if (found == name) return std::stoi(entry.path().filename());
  }
  return 0;
}

TEST(VmCalls, ACycleTakesFew) {
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const LiveVm vm("calls-test", {"--allow-host-loopback", "--poll", "off", "--vcpus", "2"});
  ASSERT_GT(vm.pid(), 0);
  const EchoThread server;
  const auto cycles = [&](int count) {
    const ProgramResult done =
        vm.exec({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(count)});
    EXPECT_EQ(done.status, 0) << done.err;
  };
  cycles(10);  // warm-up: ARP is resolved and the program is in the guest's page cache
  const pid_t thread = thread_named(vm.pid(), "gb-net");
  ASSERT_GT(thread, 0);
  const auto counter = KernelCounter::start({vm.pid()}, thread);
  ASSERT_TRUE(counter.has_value()) << counter.error().message;
  const KernelCounts before = (*counter)->read();
  cycles(kCycles);
  KernelCounts each = (*counter)->read() - before;
  each /= kCycles;
  for (const auto& [name, count] : each.by_call)
    std::printf("%-14s %.2f\n", name.c_str(), count);
  std::printf("%-14s %.2f a CRR\n", "all", each.calls);
  EXPECT_GT(each.calls, 8);
  EXPECT_LE(each.calls, kMostCalls);
}

}  // namespace
}  // namespace glassbox::bench::testing
