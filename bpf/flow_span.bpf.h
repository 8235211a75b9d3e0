// What bounds a cycle that only the host sees, kept by flow and told once more in host_flow_span when the
// flow ends: the loss of one record must not make the cycle shorter.
//
// Included by host.bpf.c alone, which has put() and GB_LRU.
#ifndef GLASSBOX_BPF_FLOW_SPAN_BPF_H
#define GLASSBOX_BPF_FLOW_SPAN_BPF_H

#include "bpf/emit.bpf.h"

struct flow_span {
  __u64 begin_ns;
  __u64 reply_ns;
  __u64 reply_seq; /* of the first payload from the server */
  __u64 has_reply;
};

GB_LRU(flow_spans, __u64, struct flow_span, 32768);

__u64 frame_begin_ns = 0; /* there is one network thread */

/* Called for every probe with its event, complete but not submitted yet; `kind` is a constant. */
static __always_inline void note_span(__u16 kind, const struct gb_event* e) {
  const __u64 flow = e->arg[0];
  if (kind == GB_KIND_process_guest_frame_begin) {
    frame_begin_ns = e->ts_ns;
  } else if (kind == GB_KIND_tcp_syn) {
    const struct flow_span span = {.begin_ns = frame_begin_ns};
    put(&flow_spans, &flow, &span);
  } else if (kind == GB_KIND_host_recv || kind == GB_KIND_rx_inject) {
    struct flow_span* span = bpf_map_lookup_elem(&flow_spans, &flow);
    if (!span) return;
    if (kind == GB_KIND_host_recv && !span->has_reply && (__s64)e->arg[3] > 0) {
      span->has_reply = 1;
      span->reply_seq = e->arg[1];
    } else if (kind == GB_KIND_rx_inject && span->has_reply && !span->reply_ns &&
               e->arg[1] == span->reply_seq) {
      span->reply_ns = e->ts_ns;
    }
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
  gb_end(e);
  bpf_map_delete_elem(&flow_spans, &flow);
}

#endif /* GLASSBOX_BPF_FLOW_SPAN_BPF_H */
