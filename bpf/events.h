// The event wire format: what the BPF programs of host and guest put into their ring buffers, what the
// guest's agent sends over vsock, and what a trace file holds. Plain C, shared by BPF programs, agent and
// collector.
//
// Little endian, 128 bytes, no padding. Events of the guest are hostile input to the collector.
//
// Arguments have names: e->rx_inject.seq is the argument seq of an event of the kind rx_inject. A name that
// probes.def or events.def does not have does not compile. C++ reads them through bpf/event_args.h, which
// also checks that the event is of that kind.
#ifndef GLASSBOX_BPF_EVENTS_H
#define GLASSBOX_BPF_EVENTS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/for_each.h"

#define GB_EVENT_VERSION 1
#define GB_EVENT_ARGS 12
#define GB_COMM_AT 10 /* the argument that a process event's comm begins at */

/* Argument `how` of the close events. */
enum gb_how {
  GB_HOW_SHUTDOWN = 1, /* shutdown() */
  GB_HOW_CLOSE = 2,    /* close() */
};

/* struct gb_args_<event>: one field an argument, 64 bits each, in their places. i32 arguments of probes and
 * `result` of kernel events are signed and sign-extended. */
#define GB_WIDE_u16 __u64
#define GB_WIDE_u32 __u64
#define GB_WIDE_u64 __u64
#define GB_WIDE_i32 __s64
#define GB_PROBE_FIELD(arg) GB_PROBE_FIELD_ arg
#define GB_PROBE_FIELD_(type, name, meaning) GB_WIDE_##type name;
#define GB_PROBE(name, fires, ...)       \
  struct gb_args_##name {                \
    GB_EACH(GB_PROBE_FIELD, __VA_ARGS__) \
  };
#include "bpf/probes.def"

#define GB_SIGNED_result , __s64
#define GB_EVENT_TYPE(...) GB_EVENT_TYPE_(__VA_ARGS__, __u64, )
#define GB_EVENT_TYPE_(name, type, ...) type
#define GB_EVENT_FIELD(name) GB_EVENT_TYPE(GB_SIGNED_##name) name;
#define GB_EVENT(name, kind, fires, ...) \
  struct gb_args_##name {                \
    GB_EACH(GB_EVENT_FIELD, __VA_ARGS__) \
  };
#define GB_PROCESS_EVENT(name, kind, fires, ...)      \
  struct gb_args_##name {                             \
    GB_EACH(GB_EVENT_FIELD, __VA_ARGS__)              \
    __u64 unused[GB_COMM_AT - GB_COUNT(__VA_ARGS__)]; \
    char comm[16];                                    \
  };
#include "bpf/events.def"

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
  union {
    __u64 arg[GB_EVENT_ARGS]; /* all arguments, by place; unused ones are 0 */
#define GB_PROBE(name, ...) struct gb_args_##name name;
#include "bpf/probes.def"
#define GB_EVENT(name, ...) struct gb_args_##name name;
#include "bpf/events.def"
  };
};

/* Kinds 1-63 are the USDT probes in the order of probes.def. */
enum gb_kind {
  GB_KIND_NONE = 0,
#define GB_PROBE(name, ...) GB_KIND_##name,
#include "bpf/probes.def"
#define GB_EVENT(name, kind, ...) GB_KIND_##name = kind,
#include "bpf/events.def"
  GB_KIND_LIMIT = 256
};

#endif /* GLASSBOX_BPF_EVENTS_H */
