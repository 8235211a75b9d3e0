// The two events that bound a flow's first cycle, stored by flow. host_flow_span repeats their times when the
// flow ends, so that the loss of one record does not make the cycle shorter.
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

/* When the next flow began. One variable is enough, because there is one network thread. */
__u64 frame_begin_ns = 0;
__u64 inbound_begin_ns = 0; /* of a connection just accepted, else 0 */

/* The span of a flow that still waits for its first reply, or NULL. */
static __always_inline struct flow_span* open_span(__u64 flow) {
  struct flow_span* span = bpf_map_lookup_elem(&flow_spans, &flow);
  return span && !span->reply_ns ? span : 0;
}

static __always_inline void begin_span(const struct gb_event* e) {
  const __u64 flow = e->tcp_syn.flow;
  const struct flow_span span = {.begin_ns = inbound_begin_ns ? inbound_begin_ns : frame_begin_ns,
                                 .inbound = inbound_begin_ns != 0,
                                 .guest_port = e->tcp_syn.guest_port,
                                 .dst_port = e->tcp_syn.dst_port};
  put(&flow_spans, &flow, &span);
  inbound_begin_ns = 0;
}

/* Called for every probe with its event, complete but not submitted yet; `kind` is a constant. */
static __always_inline void note_span(__u16 kind, const struct gb_event* e) {
  struct flow_span* span;
  switch (kind) {
    case GB_KIND_process_guest_frame_begin:
      frame_begin_ns = e->ts_ns;
      inbound_begin_ns = 0;
      break;
    case GB_KIND_tcp_syn:
      begin_span(e);
      break;
    case GB_KIND_host_recv:
      span = open_span(e->host_recv.flow);
      if (!span || span->received || e->host_recv.result <= 0) break;
      span->received = 1;
      span->received_seq = e->host_recv.seq;
      break;
    case GB_KIND_rx_inject:
      span = open_span(e->rx_inject.flow);
      if (span && span->received && !span->inbound && e->rx_inject.seq == span->received_seq)
        span->reply_ns = e->ts_ns;
      break;
    case GB_KIND_host_send:
      span = open_span(e->host_send.flow);
      if (span && span->received && span->inbound && e->host_send.result > 0) span->reply_ns = e->ts_ns;
      break;
  }
}

/* Makes a second event. Call it only after the probe's own event is submitted. */
static __always_inline void emit_span(__u64 flow) {
  const struct flow_span* span = bpf_map_lookup_elem(&flow_spans, &flow);
  if (!span) return;
  struct gb_event* e = gb_begin(GB_KIND_host_flow_span);
  if (!e) return;
  e->host_flow_span.flow = flow;
  e->host_flow_span.begin_ns = span->begin_ns;
  e->host_flow_span.reply_ns = span->reply_ns;
  e->host_flow_span.guest_port = span->guest_port;
  e->host_flow_span.dst_port = span->dst_port;
  gb_end(e);
  bpf_map_delete_elem(&flow_spans, &flow);
}

#endif /* GLASSBOX_BPF_FLOW_SPAN_BPF_H */
