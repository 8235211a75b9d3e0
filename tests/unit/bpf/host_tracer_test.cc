// The host tracer, attached to this very process: every probe arrives with what it was fired with.
#include "bpf/host_tracer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <thread>

#include "bpf/event_info.h"
#include "tests/unit/bpf/probe_fire.h"

namespace glassbox::bpf {
namespace {

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

std::vector<gb_event> poll_all(HostTracer& tracer) {
  std::vector<gb_event> events;
  const auto count = tracer.poll([&](const gb_event& event) { events.push_back(event); });
  EXPECT_TRUE(count) << count.error().message;
  EXPECT_EQ(*count, events.size());
  return events;
}

class HostTracerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "attaching USDT probes needs root";
  }
  static std::unique_ptr<HostTracer> open_self(const HostTracer::Options& options) {
    auto tracer = HostTracer::open(getpid(), options);
    if (!tracer) {
      ADD_FAILURE() << tracer.error().message;
      return nullptr;
    }
    return std::move(*tracer);
  }
};

TEST_F(HostTracerTest, EveryProbeArrivesAsFired) {
  const auto tracer = open_self({.kernel_events = false});
  ASSERT_TRUE(tracer);
  for (const Hook& hook : tracer->attached())
    EXPECT_EQ(hook.how, "usdt") << hook.name << ": " << hook.remark;
  EXPECT_EQ(tracer->attached().size(), probes().size());

  pid_t tid = 0;
  const std::uint64_t before_ns = now_ns();
  // Not the main thread: the monitor fires most of its probes on others.
  std::thread([&] {
    tid = gettid();
    fire_all_probes();
  }).join();
  const std::uint64_t after_ns = now_ns();

  const std::vector<gb_event> events = poll_all(*tracer);
  ASSERT_EQ(events.size(), probes().size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const gb_event& event = events[i];
    const EventInfo& info = probes()[i];
    SCOPED_TRACE(std::string(info.name));
    EXPECT_EQ(event.kind, info.kind);
    EXPECT_EQ(event.version, GB_EVENT_VERSION);
    EXPECT_EQ(event.tgid, static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(event.tid, static_cast<std::uint32_t>(tid));
    EXPECT_GE(event.ts_ns, i == 0 ? before_ns : events[i - 1].ts_ns);
    EXPECT_LE(event.ts_ns, after_ns);
    for (std::size_t arg = 0; arg < GB_EVENT_ARGS; ++arg) {
      const bool used = arg < info.arguments.size();
      EXPECT_EQ(event.arg[arg], used ? fired_value(info.arguments[arg].type, info.kind, arg) : 0)
          << "argument " << arg;
    }
  }
  EXPECT_EQ(tracer->drops().total(), 0u);
  EXPECT_EQ(tracer->drops().argument_errors, 0u);
}

TEST_F(HostTracerTest, LossLeavesAGapAndIsCountedByKind) {
  const auto tracer = open_self({.ring_bytes = 4096, .kernel_events = false});
  ASSERT_TRUE(tracer);
  constexpr std::uint64_t kRounds = 20;
  for (std::uint64_t i = 0; i < kRounds; ++i)
    fire_all_probes();
  std::vector<gb_event> events = poll_all(*tracer);
  fire_all_probes();  // there is room again
  const std::vector<gb_event> later = poll_all(*tracer);
  ASSERT_EQ(later.size(), probes().size());
  events.insert(events.end(), later.begin(), later.end());

  const HostDrops drops = tracer->drops();
  EXPECT_GT(drops.ring_full, 0u);
  EXPECT_EQ(events.size() + drops.ring_full, (kRounds + 1) * probes().size());
  EXPECT_GT(drops.ring_full_by_kind[GB_KIND_rx_inject], 0u);
  EXPECT_EQ(drops.ring_full_by_kind[GB_KIND_NONE], 0u);

  // Per CPU, the gaps in the sequence are the losses.
  std::map<std::uint16_t, std::uint64_t> next;
  std::uint64_t missing = 0;
  for (const gb_event& event : events) {
    EXPECT_GE(event.seq, next[event.cpu]);
    missing += event.seq - next[event.cpu];
    next[event.cpu] = event.seq + 1;
  }
  EXPECT_EQ(missing, drops.ring_full);
}

// Each event that is taken makes the next one: the ring is never empty.
TEST_F(HostTracerTest, PollEndsWhereEventsComeAsFastAsTheyAreTaken) {
  constexpr std::size_t kRingBytes = 16384, kMost = kRingBytes / sizeof(gb_event);
  const auto tracer = open_self({.ring_bytes = kRingBytes, .kernel_events = false});
  ASSERT_TRUE(tracer);
  fire_all_probes();
  std::size_t taken = 0;
  const auto count = tracer->poll([&](const gb_event&) {
    if (++taken < 100 * kMost) fire_all_probes();
  });
  ASSERT_TRUE(count) << count.error().message;
  EXPECT_EQ(*count, taken);
  EXPECT_LE(taken, kMost);
  EXPECT_FALSE(poll_all(*tracer).empty());  // what was left
}

TEST_F(HostTracerTest, AnotherProcessOfTheSameProgramIsNotTraced) {
  const auto tracer = open_self({.kernel_events = false});
  ASSERT_TRUE(tracer);
  const pid_t child = fork();
  if (child == 0) {
    fire_all_probes();
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_THAT(poll_all(*tracer), testing::IsEmpty());
}

TEST_F(HostTracerTest, NothingComesAfterDetach) {
  const auto tracer = open_self({.kernel_events = false});
  ASSERT_TRUE(tracer);
  fire_all_probes();
  tracer->detach();
  fire_all_probes();
  EXPECT_EQ(poll_all(*tracer).size(), probes().size());
  tracer->detach();
  EXPECT_THAT(poll_all(*tracer), testing::IsEmpty());
}

TEST_F(HostTracerTest, KernelEventsAttachHere) {
  const auto tracer = open_self({});
  ASSERT_TRUE(tracer);
  for (const char* name : {"inet_sock_set_state", "sys_enter", "sys_exit", "sched_process_fork"}) {
    EXPECT_THAT(tracer->attached(), testing::Contains(testing::AllOf(testing::Field(&Hook::name, name),
                                                                     testing::Field(&Hook::how, "tp_btf"))));
  }
}

TEST_F(HostTracerTest, ErrorsNameTheThing) {
  const auto missing = HostTracer::open(0x3fffffff);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "there is no process 1073741823");

  // A process, but none of ours; the pipe closes when it has left our program behind.
  int executed[2];
  ASSERT_EQ(pipe2(executed, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sleep", "sleep", "1000", nullptr);
    _exit(127);
  }
  close(executed[1]);
  char byte;
  EXPECT_EQ(read(executed[0], &byte, 1), 0);
  close(executed[0]);
  const auto foreign = HostTracer::open(child, {.kernel_events = false});
  EXPECT_FALSE(foreign);
  if (!foreign) {
    EXPECT_THAT(foreign.error().message, testing::HasSubstr("is not a glassbox monitor"));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(HostTracerRights, AnOrdinaryUserIsToldWhatIsMissing) {
  if (geteuid() != 0) GTEST_SKIP() << "changing the user needs root";
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(2);
    const auto tracer = HostTracer::open(getpid());
    _exit(!tracer && tracer.error().message.find("CAP_SYS_ADMIN") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace glassbox::bpf
