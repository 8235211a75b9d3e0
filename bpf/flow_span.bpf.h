// What bounds a cycle that the host sees, kept by flow and told once more in host_flow_span when the flow
// ends: the loss of one record must not make the cycle shorter.
//
// Included by host.bpf.c alone, which has put() and GB_LRU.
#ifndef GLASSBOX_BPF_FLOW_SPAN_BPF_H
#define GLASSBOX_BPF_FLOW_SPAN_BPF_H

#include "bpf/emit.bpf.h"

struct flow_span {
  __u64 begin_ns;
  __u64 reply_ns;
  __u64 received_seq; /* of the first payload from the host's socket */
  __u16 received;
  __u16 inbound;
  __u16 guest_port;
  __u16 dst_port;
};

GB_LRU(flow_spans, __u64, struct flow_span, 32768);

/* What the next flow begins with; there is one network thread. */
__u64 frame_begin_ns = 0;
__u64 inbound_begin_ns = 0; /* of a connection just accepted, else 0 */

/* Called for every probe with its event, complete but not submitted yet; `kind` is a constant. */
static __always_inline void note_span(__u16 kind, const struct gb_event* e) {
  const __u64 flow = e->arg[0];
  if (kind == GB_KIND_process_guest_frame_begin) {
    frame_begin_ns = e->ts_ns;
    inbound_begin_ns = 0;
  } else if (kind == GB_KIND_tcp_syn) {
    const struct flow_span span = {.begin_ns = inbound_begin_ns ? inbound_begin_ns : frame_begin_ns,
                                   .inbound = inbound_begin_ns != 0,
                                   .guest_port = e->arg[4],
                                   .dst_port = e->arg[7]};
    put(&flow_spans, &flow, &span);
    inbound_begin_ns = 0;
  } else if (kind == GB_KIND_host_recv || kind == GB_KIND_host_send || kind == GB_KIND_rx_inject) {
    struct flow_span* span = bpf_map_lookup_elem(&flow_spans, &flow);
    if (!span || span->reply_ns) return;
    if (kind == GB_KIND_host_recv && !span->received && (__s64)e->arg[3] > 0) {
      span->received = 1;
      span->received_seq = e->arg[1];
    }
    if (kind == GB_KIND_rx_inject && span->received && !span->inbound && e->arg[1] == span->received_seq)
      span->reply_ns = e->ts_ns;
    if (kind == GB_KIND_host_send && span->received && span->inbound && (__s64)e->arg[3] > 0)
      span->reply_ns = e->ts_ns;
  }
}

/* A second event: only once the probe's own is submitted. */
static __always_inline void emit_span(__u64 flow) {
  const struct flow_span* span = bpf_map_lookup_elem(&flow_spans, &flow);
  if (!span) return;
  struct gb_event* e = gb_begin(GB_KIND_host_flow_span);
  if (!e) return;
  e->arg[0] = flow;
  e->arg[1] = span->begin_ns;
  e->arg[2] = span->reply_ns;
  e->arg[3] = span->guest_port;
  e->arg[4] = span->dst_port;
  gb_end(e);
  bpf_map_delete_elem(&flow_spans, &flow);
}

#endif /* GLASSBOX_BPF_FLOW_SPAN_BPF_H */
