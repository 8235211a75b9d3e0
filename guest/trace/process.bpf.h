// Processes: fork, exec, exit, reaped.
//
// Reaped: release_task(child) runs in the parent once wait4() has taken all it wants from the child. Where
// nobody waits, the child releases itself, which is no reaping. wait4()'s return says it once more.
//
// On Debian's 6.1 a kprobe program that interrupts another BPF program is skipped silently; therefore every
// fork and every exec that its tracepoint sees without its kprobe having run is counted.
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

static __always_inline void end_with_comm(struct gb_event* e) {
  bpf_get_current_comm(&e->arg[10], 16);
  gb_end(e);
}

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
    e->arg[0] = BPF_CORE_READ(args, flags);
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
  e->arg[0] = child_tgid;
  e->arg[1] = BPF_CORE_READ(child, pid);
  e->arg[2] = call.ns;
  e->arg[3] = followed_too;
  end_with_comm(e);
  return 0;
}

SEC("kprobe/bprm_execve")
int BPF_KPROBE(kp_execve) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_begin);
  if (e) end_with_comm(e);
  remember(OP_EXECVE, 0, 0);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_exec, struct task_struct* task, int old_tid) {
  if (is_own()) return 0;
  struct call call;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_done);
  if (e) {
    e->arg[0] = old_tid;
    end_with_comm(e);
  }
  if (!recall(old_tid, OP_EXECVE, &call) && execve_hooked) __sync_fetch_and_add(&execve_misses, 1);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_exit, struct task_struct* task) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exit);
  if (!e) return 0;
  e->arg[0] = BPF_CORE_READ(task, exit_code);
  e->arg[1] = BPF_CORE_READ(task, signal, live.counter) == 0;
  end_with_comm(e);
  return 0;
}

static __always_inline int on_release_task(const struct task_struct* child) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  const __u32 child_tgid = BPF_CORE_READ(child, tgid), child_tid = BPF_CORE_READ(child, pid);
  if (child_tgid != child_tid || child_tgid == tgid) return 0; /* a thread, or nobody waits */
  if ((__u32)BPF_CORE_READ(child, real_parent, tgid) != tgid || is_own()) return 0;
  remember(OP_WAIT, 0, now);
  bpf_map_delete_elem(&followed, &child_tgid);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_reap, now);
  if (!e) return 0;
  e->arg[0] = child_tgid;
  e->arg[1] = child_tid;
  gb_end(e);
  return 0;
}

static __always_inline int on_waited(long result) {
  struct call call;
  if (!recall_own(OP_WAIT, &call) || result <= 0) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_waited);
  if (!e) return 0;
  e->arg[0] = result;
  e->arg[1] = call.ns;
  gb_end(e);
  return 0;
}

#endif /* GLASSBOX_GUEST_TRACE_PROCESS_BPF_H */
