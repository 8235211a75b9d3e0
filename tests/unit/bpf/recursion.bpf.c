// Interrupts itself: what it prints fires the tracepoint that it is attached to.
#include "bpf/kernel_types.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 target_tid = 0; /* prints of others are not its business */

SEC("tp_btf/bpf_trace_printk")
int BPF_PROG(on_print) {
  if ((__u32)bpf_get_current_pid_tgid() == target_tid) bpf_printk("again");
  return 0;
}

SEC("raw_tp/sys_enter")
int first_print(void* ctx) {
  if ((__u32)bpf_get_current_pid_tgid() == target_tid) bpf_printk("first");
  return 0;
}
