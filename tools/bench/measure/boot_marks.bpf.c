// When a process first entered a guest, and when glassbox passed its boot stages.
#include <linux/bpf.h>

#include <asm/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);    // process << 32 | stage; stage 0 is the first entry into the guest
  __type(value, __u64);  // CLOCK_MONOTONIC
} marks SEC(".maps");

static void mark(__u32 stage) {
  __u64 key = (bpf_get_current_pid_tgid() >> 32 << 32) | stage;
  if (bpf_map_lookup_elem(&marks, &key)) return;
  __u64 now = bpf_ktime_get_ns();
  bpf_map_update_elem(&marks, &key, &now, BPF_NOEXIST);
}

SEC("raw_tp/kvm_entry") int first_entry(struct bpf_raw_tracepoint_args* ctx) {
  mark(0);
  return 0;
}

SEC("usdt") int boot_stage(struct pt_regs* ctx) {
  long stage = 0;
  if (bpf_usdt_arg(ctx, 0, &stage) == 0 && stage > 0) mark((__u32)stage);
  return 0;
}
