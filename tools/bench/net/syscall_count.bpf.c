// Counts the system calls of one process, or of one of its threads, by number.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 counted_tgid = 0;
const volatile __u32 counted_tid = 0;  // 0: all threads

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 512);
  __type(key, __u32);
  __type(value, __u64);
} calls SEC(".maps");

// Arguments of the raw tracepoint sys_enter: registers, number.
SEC("raw_tp/sys_enter") int count_call(struct bpf_raw_tracepoint_args* ctx) {
  __u64 id = bpf_get_current_pid_tgid();
  if (id >> 32 != counted_tgid) return 0;
  if (counted_tid != 0 && (__u32)id != counted_tid) return 0;
  __u32 number = (__u32)ctx->args[1];
  __u64* count = bpf_map_lookup_elem(&calls, &number);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}
