// One program for each way of attaching that the collector uses. Each writes a byte to a ring buffer when it
// runs in the process own_tgid. `glassbox-trace doctor` attaches them one by one and makes them run.
#include <asm/ptrace.h>
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 own_tgid = 0;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

static __always_inline int saw(void) {
  if (bpf_get_current_pid_tgid() >> 32 != own_tgid) return 0;
  char byte = 1;
  bpf_ringbuf_output(&events, &byte, sizeof(byte), 0);
  return 0;
}

SEC("usdt") int try_usdt(struct pt_regs* ctx) {
  long stage = 0;
  return bpf_usdt_arg(ctx, 0, &stage) == 0 && stage == 4711 ? saw() : 0;
}
SEC("tp_btf/sched_process_fork") int BPF_PROG(try_tp_btf) {
  return saw();
}
SEC("kprobe/kernel_clone") int BPF_KPROBE(try_kprobe) {
  return saw();
}
SEC("fentry/kernel_clone") int BPF_PROG(try_fentry) {
  return saw();
}
SEC("raw_tp/kvm_exit") int try_kvm(void* ctx) {
  return saw();
}
SEC("usdt") int try_semaphore(struct pt_regs* ctx) {
  return saw();
}
