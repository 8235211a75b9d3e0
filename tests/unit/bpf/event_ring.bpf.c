// Puts three records into a ring when it is run: an event, a record that is shorter than one, an event.
#include "bpf/events.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

struct gb_event event = {};

SEC("syscall")
int put_three(void* ctx) {
  event.seq = 1;
  bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP);
  event.seq = 2;
  bpf_ringbuf_output(&events, &event, sizeof(event) - 8, BPF_RB_NO_WAKEUP);
  event.seq = 3;
  bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP);
  return 0;
}
