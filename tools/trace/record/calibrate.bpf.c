// The same work as a USDT program of bpf/host.bpf.c, attached to a probe of the collector itself: its cost is
// the cost of one hit (calibrate.h).
#include "bpf/emit.bpf.h"

#include <asm/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("usdt") int calibrate_hit(struct pt_regs* ctx) {
  struct gb_event* e = gb_begin(GB_KIND_boot_mark);
  if (!e) return 0;
#pragma unroll
  for (int i = 0; i < 5; i++)
    bpf_usdt_arg(ctx, i, (long*)&e->arg[i]);
  gb_end(e);
  return 0;
}
