// When a followed thread had a CPU: the code that both sides share. The includer defines is_followed(tgid)
// and passes the kinds of its side.
#ifndef GLASSBOX_BPF_SCHED_STATES_BPF_H
#define GLASSBOX_BPF_SCHED_STATES_BPF_H

#include "bpf/emit.bpf.h"
#include "bpf/kernel_types.h"

#include <stdbool.h>

#include <bpf/bpf_core_read.h>

/* What every scheduling event has, and the state of those that have one. */
#define GB_SCHED(name, state_argument)      \
  case GB_KIND_##name:                      \
    e->name.tid = BPF_CORE_READ(task, pid); \
    e->name.tgid = tgid;                    \
    state_argument;                         \
    break;

static __always_inline void gb_emit_sched(__u16 kind, __u64 now, const struct task_struct* task, __u32 tgid,
                                          __u64 state) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  switch (kind) { /* a constant of the caller's */
    GB_SCHED(host_sched_out, e->host_sched_out.state = state)
    GB_SCHED(host_sched_in, )
    GB_SCHED(host_sched_wakeup, )
    GB_SCHED(guest_sched_out, e->guest_sched_out.state = state)
    GB_SCHED(guest_sched_in, )
    GB_SCHED(guest_sched_wakeup, )
  }
  gb_end(e);
}

static __always_inline int gb_switched(__u16 kind_out, __u16 kind_in, bool preempted,
                                       const struct task_struct* prev, const struct task_struct* next,
                                       unsigned int prev_state) {
  const __u32 prev_tgid = BPF_CORE_READ(prev, tgid), next_tgid = BPF_CORE_READ(next, tgid);
  const int out = is_followed(prev_tgid), in = is_followed(next_tgid);
  if (!out && !in) return 0;
  const __u64 now = bpf_ktime_get_ns();
  if (out) gb_emit_sched(kind_out, now, prev, prev_tgid, preempted ? 0 : prev_state);
  if (in) gb_emit_sched(kind_in, now, next, next_tgid, 0);
  return 0;
}

static __always_inline int gb_woken(__u16 kind, const struct task_struct* task) {
  const __u32 tgid = BPF_CORE_READ(task, tgid);
  if (!is_followed(tgid)) return 0;
  gb_emit_sched(kind, bpf_ktime_get_ns(), task, tgid, 0);
  return 0;
}

#endif /* GLASSBOX_BPF_SCHED_STATES_BPF_H */
