// What the guest's programs share: the filter for the agent's own events, and the table of the functions that
// threads are in. A function's exit reports values that were stored at its entry, because a return probe has
// no arguments and because the socket may be gone by then.
#ifndef GLASSBOX_GUEST_TRACE_CALLS_BPF_H
#define GLASSBOX_GUEST_TRACE_CALLS_BPF_H

#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"

const volatile __u32 own_tgid = 0;

__u64 own_events = 0;
__u64 map_errors = 0;

enum op {
  OP_CLONE,
  OP_EXECVE,
  OP_CONNECT,
  OP_RECV,
  OP_SHUTDOWN,
  OP_CLOSE,
  OP_SOCKET,  /* socket() was called, no connect() yet */
  OP_RELEASE, /* close() of a TCP socket, around OP_CLOSE */
  OP_WAIT,    /* a child was reaped, wait4() has not returned yet */
};

/* A function that a thread is in. */
struct call {
  struct sock* sk;
  __u64 local_port;
  __u64 peer_port;
  __u64 ns; /* when it was entered; OP_RELEASE: when the close() inside it ended, 0 until then */
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64); /* tid << 32 | op */
  __type(value, struct call);
} calls SEC(".maps");

/* True in the agent's own system calls, which are counted and not reported. */
static __always_inline int is_own(void) {
  if (bpf_get_current_pid_tgid() >> 32 != own_tgid) return 0;
  __sync_fetch_and_add(&own_events, 1);
  return 1;
}

static __always_inline __u64 call_key(__u32 tid, enum op op) {
  return (__u64)tid << 32 | op;
}

static __always_inline void remember(enum op op, struct sock* sk, __u64 ns) {
  const __u64 key = call_key((__u32)bpf_get_current_pid_tgid(), op);
  struct call call = {.sk = sk, .ns = ns};
  if (sk) {
    call.local_port = gb_local_port(sk);
    call.peer_port = gb_peer_port(sk);
  }
  if (bpf_map_update_elem(&calls, &key, &call, BPF_ANY)) __sync_fetch_and_add(&map_errors, 1);
}

/* Takes the entry of remember() out of the table. Returns 0, with *out all zero, if there was none. */
static __always_inline int recall(__u32 tid, enum op op, struct call* out) {
  const __u64 key = call_key(tid, op);
  const struct call* call = bpf_map_lookup_elem(&calls, &key);
  __builtin_memset(out, 0, sizeof(*out));
  if (!call) return 0;
  *out = *call;
  bpf_map_delete_elem(&calls, &key);
  return 1;
}

static __always_inline int recall_own(enum op op, struct call* out) {
  return recall((__u32)bpf_get_current_pid_tgid(), op, out);
}

#endif /* GLASSBOX_GUEST_TRACE_CALLS_BPF_H */
