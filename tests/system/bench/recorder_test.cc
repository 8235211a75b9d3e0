// The collector on a machine with guests: a VM can be recorded again after its recorder was killed, and the
// doctor and a trace describe the machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/system/bench/live_vm.h"
#include "tests/system/bench/recording.h"
#include "tools/trace/path/attribute.h"
#include "vmm/base/lab.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kCycles = 3;

// When a recorder is killed, its lock on the VM is released, its programs leave the host's kernel, and the
// agent in the guest ends its session. The next recorder gets both sides.
TEST(Recorder, WorksAfterAnotherWasKilled) {
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const LiveVm vm("recorder-test", {"--allow-host-loopback"});
  ASSERT_GT(vm.pid(), 0);
  const EchoThread server;
  const auto cycles = [&] {
    const ProgramResult run =
        vm.exec({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(kCycles)});
    EXPECT_EQ(run.status, 0) << run.err;
  };
  const auto directory = build_dir() / "tests" / fmt::format("recorder-{}", ::getpid());
  std::filesystem::create_directories(directory);

  Recording first(vm, directory / "first.trace");
  ASSERT_TRUE(first.ready());
  cycles();
  const ProgramResult second_at_once = run({program_path("glassbox-trace"), "record", "--name", vm.name(),
                                            "-o", directory / "refused.trace", "--duration", "1"});
  EXPECT_EQ(second_at_once.status, 1);
  EXPECT_THAT(second_at_once.err, HasSubstr("one recording at a time"));
  first.kill();

  Recording second(vm, directory / "second.trace");
  ASSERT_TRUE(second.ready());
  cycles();
  const trace::Trace trace = second.finish();
  EXPECT_THAT(trace.notes, IsEmpty());
  EXPECT_FALSE(trace.truncated);
  EXPECT_FALSE(trace.guest.events.empty());
  EXPECT_EQ(trace.host.lost() + trace.guest.lost(), 0U);
  const auto attribution = trace::attribute(trace, trace::derive_clock(trace));
  EXPECT_EQ(attribution.cycles.size(), kCycles);
  EXPECT_EQ(attribution.incomplete + attribution.without_flow, 0U);

  // The part that the killed recorder had written can be read.
  const auto cut = trace::read_trace(directory / "first.trace");
  ASSERT_TRUE(cut.has_value()) << cut.error().message;
  EXPECT_TRUE(cut->truncated);

  EXPECT_EQ(trace.info["machine"]["kind"], in_lab() ? "lab" : "hardware");
  for (const char* key : {"cpu", "kernel", "virtualization"})
    EXPECT_NE(trace.info["machine"][key], "") << key;
  if (in_lab()) {
    EXPECT_EQ(trace.info["machine"]["virtualization"], "on QEMU TCG");
  }
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(directory);
}

// A machine that runs guests has everything that a report needs. The lab's kernel also has every hook.
TEST(Doctor, FindsEverythingOnAMachineWithGuests) {
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const ProgramResult outcome = run({program_path("glassbox-trace"), "doctor", "--format", "json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["fit"], true);
  std::map<std::string, nlohmann::json> found;
  for (const auto& finding : json["findings"])
    found[finding["what"]] = finding;
  std::vector<std::string> expected = {
      "permission", "kernel BTF", "USDT, ring buffer", "USDT semaphores", "tp_btf", "KVM tracepoints", "KVM"};
  if (in_lab()) expected.insert(expected.end(), {"kprobe", "fentry"});
  for (const std::string& what : expected) {
    ASSERT_TRUE(found.contains(what)) << what;
    EXPECT_EQ(found[what]["works"], true) << found[what];
    EXPECT_EQ(found[what]["to_do"], "") << found[what];
  }
  ASSERT_TRUE(found.contains("TSC offset"));
  EXPECT_NE(found["TSC offset"]["detail"], "") << "the doctor must try it, whatever the result";
}

}  // namespace
}  // namespace glassbox::bench::testing
