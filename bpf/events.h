// The event wire format: what the BPF programs of host and guest put into their ring buffers, what the
// guest's agent sends over vsock, and what a trace file holds. Plain C, shared by BPF programs, agent and
// collector.
//
// Little endian, 128 bytes, no padding. Events of the guest are hostile input to the collector.
#ifndef GLASSBOX_BPF_EVENTS_H
#define GLASSBOX_BPF_EVENTS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define GB_EVENT_VERSION 1
#define GB_EVENT_ARGS 12

struct gb_event {
  __u64 ts_ns; /* CLOCK_MONOTONIC of the side it was taken on (bpf_ktime_get_ns) */
  __u64 seq;   /* per CPU and side, counts from 0 in steps of 1, also for events that were dropped: a gap is a
                  loss */
  __u16 kind;  /* enum gb_kind */
  __u16 cpu;
  __u32 tgid;
  __u32 tid;
  __u16 version; /* GB_EVENT_VERSION */
  __u16 reserved;
  __u64
      arg[GB_EVENT_ARGS]; /* by kind: probes.def, events.def; signed values are sign-extended; unused are 0 */
};

/* Kinds 1-63 are the USDT probes in the order of probes.def. */
enum gb_kind {
  GB_KIND_NONE = 0,
#define GB_PROBE1(name, ...) GB_KIND_##name,
#define GB_PROBE2(name, ...) GB_KIND_##name,
#define GB_PROBE3(name, ...) GB_KIND_##name,
#define GB_PROBE4(name, ...) GB_KIND_##name,
#define GB_PROBE5(name, ...) GB_KIND_##name,
#define GB_PROBE7(name, ...) GB_KIND_##name,
#define GB_PROBE9(name, ...) GB_KIND_##name,
#include "bpf/probes.def"
#undef GB_PROBE1
#undef GB_PROBE2
#undef GB_PROBE3
#undef GB_PROBE4
#undef GB_PROBE5
#undef GB_PROBE7
#undef GB_PROBE9
#define GB_EVENT(name, kind, doc, args) GB_KIND_##name = kind,
#include "bpf/events.def"
#undef GB_EVENT
  GB_KIND_LIMIT = 256
};

#endif /* GLASSBOX_BPF_EVENTS_H */
