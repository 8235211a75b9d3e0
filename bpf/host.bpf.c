// The host's BPF programs: the USDT probes of one glassbox process and what the kernel does for its
// connections.
//
// Theory of operation
//
// USDT: one program a probe, generated from probes.def; the loader attaches each to every site of the probe.
//
// Kernel side: a connection of the NAT is followed from both ends, through inet_sock_set_state. A socket that
// the target process takes to SYN_SENT is the NAT's; its later changes come in any context, often in softirq.
// When it is established, its 4-tuple goes into `flows`, as the server sees it. If the server is on this
// machine, its socket goes from SYN_RECV to ESTABLISHED and its 4-tuple is in `flows`: it goes into
// `server_socks`. On loopback this happens inside the NAT's connect(), after the NAT's own socket was
// established, in the context that the softirq runs in.
//
// What either end sends again is reported: on loopback nothing is lost, on a wire it explains a wait.
//
// A process that accepts such a socket is a server. Its reads, writes, closes and shutdowns of such sockets
// are reported from the raw system call tracepoints, and so are those of its children. Every system call of
// the machine comes through here, so the programs look at the call's number first and at the process next.
// accept() is reported when it has returned a connection of the NAT. Its entry is reported then too, with the
// time of the entry, because only the return says whose connection it is. The host's hooks are tracepoints,
// not kprobes; io_uring is not seen.
//
// The events that bound a flow are repeated when it ends (bpf/flow_span.bpf.h).
//
// Scheduling: sched_switch and sched_wakeup of the threads of the target and of the servers. Both tracepoints
// run under the run queue's lock, where a program must not wake the consumer; submissions here never do. For
// vCPU threads, one event when the guest runs again says how long the exit took.
#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"
#include "bpf/target.h"

#include <asm/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* As the kernel numbers processes, outside all pid namespaces. A tracer inside one does not know it: it then
 * sets GB_UNKNOWN_TGID, and the first probe of the target, which is attached to it alone, tells. */
__u32 target_tgid = 0;

__u64 map_errors = 0;  /* a map refused an update: some connection is not followed */
__u64 usdt_errors = 0; /* an argument of a probe could not be read and is reported as 0 */

#define GB_LRU(map_name, key_type, value_type, entries) \
  struct {                                              \
    __uint(type, BPF_MAP_TYPE_LRU_HASH);                \
    __uint(max_entries, entries);                       \
    __type(key, key_type);                              \
    __type(value, value_type);                          \
  } map_name SEC(".maps")

static __always_inline void put(void* map, const void* key, const void* value) {
  if (bpf_map_update_elem(map, key, value, BPF_ANY)) __sync_fetch_and_add(&map_errors, 1);
}

#include "bpf/flow_span.bpf.h"

static __always_inline int gb_usdt(struct pt_regs* ctx, __u16 kind, int count) {
  if (target_tgid == GB_UNKNOWN_TGID) target_tgid = bpf_get_current_pid_tgid() >> 32;
  struct gb_event* e = gb_begin(kind);
  if (!e) return 0;
#pragma unroll
  for (int i = 0; i < count; i++) {
    if (bpf_usdt_arg(ctx, i, (long*)&e->arg[i])) __sync_fetch_and_add(&usdt_errors, 1);
  }
  const __u64 closed = kind == GB_KIND_flow_close ? e->flow_close.flow : 0;
  note_span(kind, e);
  gb_end(e);
  if (kind == GB_KIND_flow_close) emit_span(closed);
  return 0;
}

#define GB_PROBE(name, fires, ...)                              \
  SEC("usdt") int usdt_##name(struct pt_regs* ctx) {            \
    return gb_usdt(ctx, GB_KIND_##name, GB_COUNT(__VA_ARGS__)); \
  }
#include "bpf/probes.def"

struct server_sock {
  __u64 local_port;
  __u64 peer_port;
};

GB_LRU(nat_socks, __u64, __u8, 32768);            /* skaddr of the NAT's sockets */
GB_LRU(flows, struct gb_sock_view, __u64, 32768); /* the server's view of a NAT connection */
GB_LRU(server_socks, __u64, struct server_sock, 32768);
GB_LRU(server_tgids, __u32, __u8, 4096);
GB_LRU(passive, __u64, __u64, 8192); /* skaddr of a connection that came in: when it was established */

static __always_inline void emit_state(const struct sock* sk, int old_state, int new_state,
                                       const struct gb_sock_view* view, __u64 now) {
  struct gb_event* e = gb_begin_at(GB_KIND_host_sock_state, now);
  if (!e) return;
  GB_FILL_SOCK_STATE(e->host_sock_state, sk, old_state, new_state, view);
  gb_end(e);
}

static __always_inline void add_server_sock(__u64 skaddr, const struct gb_sock_view* view) {
  const struct server_sock sock = {view->local_port, view->peer_port};
  put(&server_socks, &skaddr, &sock);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sock_set_state, const struct sock* sk, int old_state, int new_state) {
  const __u64 now = bpf_ktime_get_ns();
  const __u64 skaddr = (__u64)sk;
  struct gb_sock_view view = {};
  if (!gb_is_tcp(sk)) return 0;
  gb_view_sock(sk, &view);

  if (new_state == BPF_TCP_SYN_SENT) { /* only connect() does this, in the caller's own context */
    if (bpf_get_current_pid_tgid() >> 32 != target_tgid) return 0;
    const __u8 one = 1;
    put(&nat_socks, &skaddr, &one);
    emit_state(sk, old_state, new_state, &view, now);
    return 0;
  }
  if (bpf_map_lookup_elem(&nat_socks, &skaddr)) {
    emit_state(sk, old_state, new_state, &view, now);
    const struct gb_sock_view server = {view.peer, view.local, view.peer_port, view.local_port};
    if (new_state == BPF_TCP_ESTABLISHED) {
      put(&flows, &server, &skaddr);
    } else if (new_state == BPF_TCP_CLOSE) {
      bpf_map_delete_elem(&flows, &server);
      bpf_map_delete_elem(&nat_socks, &skaddr);
    }
    return 0;
  }
  if (old_state == BPF_TCP_SYN_RECV && new_state == BPF_TCP_ESTABLISHED) {
    put(&passive, &skaddr, &now);
    if (!bpf_map_lookup_elem(&flows, &view)) return 0;
    add_server_sock(skaddr, &view);
  } else if (!bpf_map_lookup_elem(&server_socks, &skaddr)) {
    return 0;
  }
  emit_state(sk, old_state, new_state, &view, now);
  if (new_state == BPF_TCP_CLOSE) bpf_map_delete_elem(&server_socks, &skaddr);
  return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(segment_resent, const struct sock* sk) {
  const __u64 skaddr = (__u64)sk;
  if (!bpf_map_lookup_elem(&nat_socks, &skaddr) && !bpf_map_lookup_elem(&server_socks, &skaddr)) return 0;
  struct gb_sock_view view = {};
  gb_view_sock(sk, &view);
  struct gb_event* e = gb_begin(GB_KIND_host_resend);
  if (!e) return 0;
  e->host_resend.skaddr = skaddr;
  e->host_resend.local_port = view.local_port;
  e->host_resend.peer_port = view.peer_port;
  gb_end(e);
  return 0;
}

#include "bpf/server_calls.bpf.h"

/* A child of a server inherits its connections, so it is a server too. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(server_fork, struct task_struct* parent, struct task_struct* child) {
  const __u32 parent_tgid = BPF_CORE_READ(parent, tgid), child_tgid = BPF_CORE_READ(child, tgid);
  const __u8 one = 1;
  if (parent_tgid == child_tgid || !bpf_map_lookup_elem(&server_tgids, &parent_tgid)) return 0;
  put(&server_tgids, &child_tgid, &one);
  return 0;
}

static __always_inline int is_followed(__u32 tgid) {
  return tgid == target_tgid || bpf_map_lookup_elem(&server_tgids, &tgid);
}

#include "bpf/sched_states.bpf.h"

/* Kernels before 5.18 have no prev_state here. They are not supported for other reasons too. */
SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempted, struct task_struct* prev, struct task_struct* next,
             unsigned int prev_state) {
  return gb_switched(GB_KIND_host_sched_out, GB_KIND_host_sched_in, preempted, prev, next, prev_state);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct* task) {
  return gb_woken(GB_KIND_host_sched_wakeup, task);
}

/* raw_tp and not tp_btf: the tracepoint belongs to a module that may not be loaded, and its arguments are not
 * needed. */
GB_LRU(vcpu_exits, __u32, __u64, 4096); /* by thread: when it left the guest */

SEC("raw_tp/kvm_exit")
int vcpu_exit(void* ctx) {
  const __u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
  const __u32 tid = (__u32)id;
  if (id >> 32 == target_tgid) put(&vcpu_exits, &tid, &now);
  return 0;
}

SEC("raw_tp/kvm_entry")
int vcpu_entry(void* ctx) {
  const __u64 id = bpf_get_current_pid_tgid();
  const __u32 tid = (__u32)id;
  if (id >> 32 != target_tgid) return 0;
  const __u64* exit_ns = bpf_map_lookup_elem(&vcpu_exits, &tid);
  if (!exit_ns) return 0;
  struct gb_event* e = gb_begin(GB_KIND_host_vcpu_exit);
  if (!e) return 0;
  e->host_vcpu_exit.exit_ns = *exit_ns;
  gb_end(e);
  return 0;
}
