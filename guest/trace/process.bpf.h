// Processes: fork, exec, exit, reaping.
//
// release_task(child) runs in the parent when wait4() has taken everything from the child: that is the
// reaping. If no parent waits, the child releases itself, which does not count. The return of wait4() repeats
// the time of the reaping.
//
// On Debian's 6.1 the kernel silently skips a kprobe program that interrupts another BPF program. Therefore
// each fork or exec whose tracepoint fires without its kprobe is counted as a miss.
#ifndef GLASSBOX_GUEST_TRACE_PROCESS_BPF_H
#define GLASSBOX_GUEST_TRACE_PROCESS_BPF_H

#include "guest/trace/sched.bpf.h"

#include <asm/ptrace.h>

#include <bpf/bpf_tracing.h>

__u64 clone_misses = 0;
__u64 execve_misses = 0;
/* Set by the loader once the kprobes are attached. */
__u64 clone_hooked = 0;
__u64 execve_hooked = 0;

/* Ends a process event: `args` is e-><kind>. */
#define END_WITH_COMM(e, args)                              \
  do {                                                      \
    bpf_get_current_comm((args).comm, sizeof((args).comm)); \
    gb_end(e);                                              \
  } while (0)

/* kernel_clone_args.flags is the first member. */
struct kernel_clone_args {
  __u64 flags;
} __attribute__((preserve_access_index));

SEC("kprobe/kernel_clone")
int BPF_KPROBE(kp_clone, struct kernel_clone_args* args) {
  const __u64 now = bpf_ktime_get_ns();
  if (is_own()) return 0;
  struct gb_event* e = gb_begin_at(GB_KIND_guest_clone_begin, now);
  if (e) {
    e->guest_clone_begin.clone_flags = BPF_CORE_READ(args, flags);
    gb_end(e);
  }
  remember(OP_CLONE, 0, now);
  return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tp_fork, struct task_struct* parent, struct task_struct* child) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 child_tgid = BPF_CORE_READ(child, tgid);
  struct call call;
  if (is_own()) return 0;
  if (!recall_own(OP_CLONE, &call) && clone_hooked) __sync_fetch_and_add(&clone_misses, 1);
  const int followed_too = is_followed(bpf_get_current_pid_tgid() >> 32);
  if (followed_too) follow(child_tgid);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_fork, now);
  if (!e) return 0;
  e->guest_fork.child_tgid = child_tgid;
  e->guest_fork.child_tid = BPF_CORE_READ(child, pid);
  e->guest_fork.clone_begin_ns = call.ns;
  e->guest_fork.followed = followed_too;
  END_WITH_COMM(e, e->guest_fork);
  return 0;
}

SEC("kprobe/bprm_execve")
int BPF_KPROBE(kp_execve) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_begin);
  if (e) END_WITH_COMM(e, e->guest_exec_begin);
  remember(OP_EXECVE, 0, 0);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_exec, struct task_struct* task, int old_tid) {
  if (is_own()) return 0;
  struct call call;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_done);
  if (e) {
    e->guest_exec_done.old_tid = old_tid;
    END_WITH_COMM(e, e->guest_exec_done);
  }
  if (!recall(old_tid, OP_EXECVE, &call) && execve_hooked) __sync_fetch_and_add(&execve_misses, 1);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_exit, struct task_struct* task) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exit);
  if (!e) return 0;
  e->guest_exit.exit_code = BPF_CORE_READ(task, exit_code);
  e->guest_exit.is_last_thread = BPF_CORE_READ(task, signal, live.counter) == 0;
  END_WITH_COMM(e, e->guest_exit);
  return 0;
}

static __always_inline int on_release_task(const struct task_struct* child) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  const __u32 child_tgid = BPF_CORE_READ(child, tgid), child_tid = BPF_CORE_READ(child, pid);
  if (child_tgid != child_tid || child_tgid == tgid)
    return 0; /* a thread, or a child that no parent waits for */
  if ((__u32)BPF_CORE_READ(child, real_parent, tgid) != tgid || is_own()) return 0;
  remember(OP_WAIT, 0, now);
  bpf_map_delete_elem(&followed, &child_tgid);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_reap, now);
  if (!e) return 0;
  e->guest_reap.child_tgid = child_tgid;
  e->guest_reap.child_tid = child_tid;
  gb_end(e);
  return 0;
}

static __always_inline int on_waited(long result) {
  struct call call;
  if (!recall_own(OP_WAIT, &call) || result <= 0) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_waited);
  if (!e) return 0;
  e->guest_waited.child_tgid = result;
  e->guest_waited.reap_ns = call.ns;
  gb_end(e);
  return 0;
}

#endif /* GLASSBOX_GUEST_TRACE_PROCESS_BPF_H */
