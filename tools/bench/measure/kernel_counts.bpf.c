// Counts what the kernel does for a few processes: system calls by number, wake-ups of their threads, and
// exits of their vCPUs by reason.
#include "bpf/kernel_types.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// Where the tracepoint kvm_exit has its fields (its format file).
const volatile __u32 reason_offset = 8;
const volatile __u32 isa_offset = 24;

const volatile __u32 counted_thread = 0;  // whose system calls; 0: of all threads

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);  // process
  __type(value, __u8);
} processes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 512);
  __type(key, __u32);  // number of the call
  __type(value, __u64);
} calls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, __u64);  // isa << 32 | reason
  __type(value, __u64);
} exits SEC(".maps");

__u64 wakeups = 0;

static int is_counted(__u32 tgid) {
  return bpf_map_lookup_elem(&processes, &tgid) != 0;
}

// Arguments: registers, number.
SEC("raw_tp/sys_enter") int count_call(struct bpf_raw_tracepoint_args* ctx) {
  __u64 id = bpf_get_current_pid_tgid();
  if (!is_counted(id >> 32) || (counted_thread != 0 && (__u32)id != counted_thread)) return 0;
  __u32 number = (__u32)ctx->args[1];
  __u64* count = bpf_map_lookup_elem(&calls, &number);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}

// Argument: the task that is woken.
SEC("raw_tp/sched_wakeup") int count_wakeup(struct bpf_raw_tracepoint_args* ctx) {
  struct task_struct* task = (struct task_struct*)ctx->args[0];
  if (is_counted((__u32)BPF_CORE_READ(task, tgid))) __sync_fetch_and_add(&wakeups, 1);
  return 0;
}

// On the vCPU's own thread.
SEC("tp/kvm/kvm_exit") int count_exit(void* ctx) {
  if (!is_counted(bpf_get_current_pid_tgid() >> 32)) return 0;
  __u32 reason = 0;
  __u32 isa = 0;
  bpf_probe_read_kernel(&reason, sizeof(reason), ctx + reason_offset);
  bpf_probe_read_kernel(&isa, sizeof(isa), ctx + isa_offset);
  __u64 key = (__u64)isa << 32 | reason;
  __u64* count = bpf_map_lookup_elem(&exits, &key);
  if (count) {
    __sync_fetch_and_add(count, 1);
  } else {
    __u64 one = 1;
    bpf_map_update_elem(&exits, &key, &one, BPF_ANY);
  }
  return 0;
}
