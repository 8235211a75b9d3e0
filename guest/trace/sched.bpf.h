// When the threads of the traced pipelines had a CPU, and the network card's interrupts.
//
// A guest switches tasks far more often than it makes cycles, so only threads of followed processes are
// reported. A process is followed from the moment it makes or accepts a TCP socket; so is its parent, which
// forks and reaps it, and every process that a followed process forks from then on. In a shell loop the first
// cycle therefore has no states before its socket().
#ifndef GLASSBOX_GUEST_TRACE_SCHED_BPF_H
#define GLASSBOX_GUEST_TRACE_SCHED_BPF_H

#include "guest/trace/calls.bpf.h"

#include <stdbool.h>

#include <bpf/bpf_tracing.h>

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32); /* tgid */
  __type(value, __u8);
} followed SEC(".maps");

/* Returns the value and not the pointer: clang joins the tests of two pointers with an OR, which the verifier
 * refuses. */
static __always_inline int is_followed(__u32 tgid) {
  const __u8* one = bpf_map_lookup_elem(&followed, &tgid);
  return one ? *one : 0;
}

#include "bpf/sched_states.bpf.h"

static __always_inline void follow(__u32 tgid) {
  const __u8 one = 1;
  if (tgid == own_tgid || is_followed(tgid)) return;
  if (bpf_map_update_elem(&followed, &tgid, &one, BPF_ANY)) __sync_fetch_and_add(&map_errors, 1);
}

static __always_inline void follow_current(void) {
  const struct task_struct* task = (const struct task_struct*)bpf_get_current_task();
  follow(bpf_get_current_pid_tgid() >> 32);
  follow(BPF_CORE_READ(task, real_parent, tgid));
}

/* Kernels before 5.18 have no prev_state here. They are not supported for other reasons too. */
SEC("tp_btf/sched_switch")
int BPF_PROG(tp_switch, bool preempted, struct task_struct* prev, struct task_struct* next,
             unsigned int prev_state) {
  return gb_switched(GB_KIND_guest_sched_out, GB_KIND_guest_sched_in, preempted, prev, next, prev_state);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(tp_wakeup, struct task_struct* task) {
  return gb_woken(GB_KIND_guest_sched_wakeup, task);
}

/* virtio-net names its receive interrupts "virtio<N>-input.<queue>". */
static __always_inline int is_receive_interrupt(const char* name) {
  for (int at = 7; at < 10; at++) /* after one to three digits */
    if (name[at] == '-') return name[at + 1] == 'i' && name[at + 2] == 'n' && name[at + 3] == 'p';
  return 0;
}

SEC("tp_btf/irq_handler_entry")
int BPF_PROG(tp_irq, int irq, struct irqaction* action) {
  const __u64 now = bpf_ktime_get_ns();
  char name[16] = {};
  bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(action, name));
  if (name[0] != 'v' || name[1] != 'i' || name[2] != 'r' || !is_receive_interrupt(name)) return 0;
  struct gb_event* e = gb_begin_at(GB_KIND_guest_irq, now);
  if (!e) return 0;
  e->guest_irq.irq = irq;
  gb_end(e);
  return 0;
}

#endif /* GLASSBOX_GUEST_TRACE_SCHED_BPF_H */
