// Every script of tools/bpftrace on a live VM whose guest runs cycles against an echo server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/system/bench/bpftrace_script.h"
#include "tests/system/bench/live_vm.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kCycles = 20;

TEST(BpftraceLive, EveryScriptReportsARunningGuest) {
  if (run({"bpftrace", "--version"}).status != 0) GTEST_SKIP() << "bpftrace is not installed";
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const LiveVm vm("bpftrace-test", {"--allow-host-loopback"});
  ASSERT_GT(vm.pid(), 0);
  const EchoThread server;

  // One after the other: they share probes, and a breakpoint does not tell which script set it.
  std::map<std::string, std::string> outputs;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tools/bpftrace")) {
    if (entry.path().extension() != ".bt") continue;
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    outputs[name] = run_script(entry.path(), vm.pid(), program_path("glassbox"), [&] {
      const ProgramResult cycles =
          vm.exec({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(kCycles)});
      ASSERT_EQ(cycles.status, 0) << cycles.err;
    });
    EXPECT_THAT(repeated_entries(outputs[name]), ::testing::IsEmpty());
    std::printf("--- %s\n%s", name.c_str(), outputs[name].c_str());
  }
  ASSERT_GE(outputs.size(), 4U);
  EXPECT_EQ(counter(outputs["cycle-phases.bt"], "@cycles"), kCycles);
  EXPECT_EQ(histogram_total(outputs["connect-latency.bt"], "@connect_us"), kCycles);
  EXPECT_GE(histogram_total(outputs["net-poll-wait.bt"], "@wait_us"), kCycles);
  EXPECT_GE(counter(outputs["frames-per-wake.bt"], "@wakes"), kCycles);
  EXPECT_THAT(outputs["drops.bt"], HasSubstr("@flows_closed"));
}

}  // namespace
}  // namespace glassbox::bench::testing
