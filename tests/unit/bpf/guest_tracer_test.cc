// The guest's BPF programs, run on whatever kernel with kprobes this is (in the lab: Debian's 6.1, as in the
// guest): what processes do arrives, in order and with the right arguments, and what does not is counted.
// Sockets and frames: guest_tracer_socket_test.cc.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <cstring>

#include "tests/unit/bpf/guest_tracer_fixture.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bpf {
namespace {

std::string comm_of(const gb_event& event) {
  char comm[17] = {};
  std::memcpy(comm, &event.arg[10], 16);
  return comm;
}

TEST_P(GuestTracerTest, EveryHookAttaches) {
  for (const std::string& hook : tracer_->hooks())
    EXPECT_THAT(hook, testing::Not(testing::HasSubstr("missing")));
  const std::string enter = GetParam() ? "fentry" : "kprobe";
  const std::string leave = GetParam() ? "fexit" : "kretprobe";
  EXPECT_THAT(
      tracer_->hooks(),
      testing::UnorderedElementsAre(
          "kernel_clone kprobe", "bprm_execve kprobe", "sched_process_fork tp_btf",
          "sched_process_exec tp_btf", "sched_process_exit tp_btf", "inet_sock_set_state tp_btf",
          "net_dev_start_xmit tp_btf", "release_task " + enter, "__sys_socket " + enter,
          "inet_stream_connect " + enter, "tcp_sendmsg " + enter, "tcp_recvmsg " + enter,
          "inet_shutdown " + enter, "tcp_close " + enter, "dev_gro_receive " + enter,
          "inet_stream_connect " + leave, "tcp_recvmsg " + leave, "inet_shutdown " + leave,
          "tcp_close " + leave, "inet_csk_accept " + leave, "inet_release " + enter, "inet_release " + leave,
          "kernel_wait4 " + leave, "sched_switch tp_btf", "sched_wakeup tp_btf", "irq_handler_entry tp_btf"));
}

TEST_P(GuestTracerTest, LifeOfAProcess) {
  const pid_t parent = in_child([] {
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", "exit 3", nullptr);
      _exit(127);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
  });
  collect();

  const gb_event fork_event = only(GB_KIND_guest_fork, parent);
  const auto child = static_cast<pid_t>(fork_event.arg[0]);
  EXPECT_EQ(fork_event.arg[1], fork_event.arg[0]);
  EXPECT_EQ(comm_of(only(GB_KIND_guest_exec_begin, child)), comm_of(fork_event));
  EXPECT_EQ(comm_of(only(GB_KIND_guest_exec_done, child)), "sh");
  const gb_event exit_event = only(GB_KIND_guest_exit, child);
  EXPECT_EQ(exit_event.arg[0], 3u << 8);
  EXPECT_EQ(exit_event.arg[1], 1u);
  EXPECT_EQ(comm_of(exit_event), "sh");
  const gb_event reap = only(GB_KIND_guest_reap, parent);
  EXPECT_EQ(reap.arg[0], static_cast<std::uint64_t>(child));
  const gb_event waited = only(GB_KIND_guest_waited, parent);
  EXPECT_EQ(waited.arg[0], reap.arg[0]);
  EXPECT_EQ(waited.arg[1], reap.ts_ns);
  EXPECT_EQ(fork_event.arg[2], only(GB_KIND_guest_clone_begin, parent).ts_ns);

  const std::uint64_t order[] = {only(GB_KIND_guest_clone_begin, parent).ts_ns,
                                 fork_event.ts_ns,
                                 only(GB_KIND_guest_exec_begin, child).ts_ns,
                                 only(GB_KIND_guest_exec_done, child).ts_ns,
                                 exit_event.ts_ns,
                                 reap.ts_ns};
  EXPECT_TRUE(std::is_sorted(std::begin(order), std::end(order)));
  EXPECT_GT(order[0], 0u);
}

TEST_P(GuestTracerTest, OwnEventsAreFilteredAndCounted) {
  in_child([] {});
  collect();
  EXPECT_TRUE(of(GB_KIND_guest_fork, getpid()).empty());
  EXPECT_TRUE(of(GB_KIND_guest_reap, getpid()).empty());
  EXPECT_GE(tracer_->drops().totals.own_events, 3u);  // clone, fork, reap
}

std::uint64_t share_of(const GuestDrops& drops, std::string_view counter, gb_kind kind) {
  for (const DropShare& share : drops.shares)
    if (share.counter == counter && share.what == std::to_string(kind)) return share.count;
  return 0;
}

// A page holds 30 events; each grandchild makes six at the least.
TEST_P(GuestTracerTest, AFullRingIsCountedByKind) {
  tracer_.reset();
  auto tracer = GuestTracer::open(4096, GetParam());
  ASSERT_TRUE(tracer) << tracer.error().message;
  in_child([] {
    for (int k = 0; k < 40; ++k)
      in_child([] {});
  });
  const GuestDrops drops = (*tracer)->drops();
  EXPECT_GT(share_of(drops, "ring_full", GB_KIND_guest_fork), 0u);
  EXPECT_GT(share_of(drops, "ring_full", GB_KIND_guest_exit), 0u);
  std::uint64_t sum = 0;
  for (const DropShare& share : drops.shares)
    sum += share.counter == "ring_full" ? share.count : 0;
  EXPECT_EQ(sum, drops.totals.ring_full);
}

// As if each kprobe had come while another BPF program ran, which this kernel skips silently.
TEST_P(GuestTracerTest, AKprobeThatDoesNotRunIsCountedByKind) {
  const char* const kEnabled = "/sys/kernel/debug/kprobes/enabled";
  if (access(kEnabled, W_OK) != 0) GTEST_SKIP() << "no " << kEnabled << ": debugfs is not mounted";
  const auto set_kprobes = [&](const char* on) {
    const UniqueFd file(open(kEnabled, O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(write(file.get(), on, 1), 1);
  };
  set_kprobes("0");
  in_child([] {
    in_child([] {});  // a fork without its kprobe
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(127);
    }
    waitpid(child, nullptr, 0);
  });
  const GuestDrops drops = tracer_->drops();
  set_kprobes("1");
  EXPECT_GE(share_of(drops, "kprobe_misses", GB_KIND_guest_clone_begin), 2u);
  EXPECT_GE(share_of(drops, "kprobe_misses", GB_KIND_guest_exec_begin), 1u);
  EXPECT_EQ(share_of(drops, "kprobe_misses", GB_KIND_guest_clone_begin) +
                share_of(drops, "kprobe_misses", GB_KIND_guest_exec_begin),
            drops.totals.kprobe_misses);
}

TEST_P(GuestTracerTest, NothingComesAfterStop) {
  const pid_t before = in_child([] { in_child([] {}); });
  tracer_->stop();
  const pid_t after = in_child([] { in_child([] {}); });
  ASSERT_TRUE(tracer_->consume([this](const gb_event& event) { events_.push_back(event); }));
  EXPECT_EQ(of(GB_KIND_guest_reap, before).size(), 1u);
  EXPECT_TRUE(of(GB_KIND_guest_reap, after).empty());
}

// A process is followed from its first TCP socket on, and what it forks from birth; others are not reported.
TEST_P(GuestTracerTest, SchedulingOfWhoMakesTcpSockets) {
  in_child([] {});
  const pid_t client = in_child([] {
    const UniqueFd made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    in_child([] {});
  });
  collect();
  std::vector<std::uint64_t> followed;
  for (const gb_event& e : events_) {
    if (e.kind != GB_KIND_guest_sched_in && e.kind != GB_KIND_guest_sched_out) continue;
    if (std::find(followed.begin(), followed.end(), e.arg[1]) == followed.end()) followed.push_back(e.arg[1]);
  }
  const gb_event fork_event = only(GB_KIND_guest_fork, client);
  EXPECT_EQ(fork_event.arg[3], 1u);
  EXPECT_THAT(followed, testing::UnorderedElementsAre(client, fork_event.arg[0]));
  // The parent waits, and goes on when the child is gone.
  std::vector<std::uint16_t> kinds;
  for (const gb_event& e : events_)
    if (e.arg[0] == static_cast<std::uint64_t>(client) && e.ts_ns > fork_event.ts_ns &&
        e.ts_ns < only(GB_KIND_guest_waited, client).ts_ns && e.kind >= GB_KIND_guest_sched_out &&
        e.kind <= GB_KIND_guest_sched_wakeup)
      kinds.push_back(e.kind);
  const std::vector<std::uint16_t> sleeps{GB_KIND_guest_sched_out, GB_KIND_guest_sched_wakeup,
                                          GB_KIND_guest_sched_in};
  EXPECT_NE(std::search(kinds.begin(), kinds.end(), sleeps.begin(), sleeps.end()), kinds.end());
}

INSTANTIATE_TEST_SUITE_P(Hooks, GuestTracerTest, testing::Bool(),
                         [](const auto& use_fentry) { return use_fentry.param ? "Fentry" : "Kprobes"; });

}  // namespace
}  // namespace glassbox::bpf
