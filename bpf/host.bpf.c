// The host's BPF programs: the USDT probes of one glassbox process and what the kernel does for its
// connections.
//
// Theory of operation
//
// USDT: one program a probe, generated from probes.def; the loader attaches each to every site of the probe.
//
// Kernel side: a connection of the NAT is followed from both ends. inet_sock_set_state tells about the NAT's
// own sockets (the one that the target process takes to SYN_SENT is the NAT's; its later changes come in any
// context, often in softirq) and, when such a socket is established, the 4-tuple goes into `flows`, seen from
// the server. A server-side socket that becomes ESTABLISHED out of SYN_RECV and whose 4-tuple is in `flows`
// is the other end if the server is on this machine: on loopback that happens inside the NAT's connect(),
// after the NAT's own socket was established and in whatever context the softirq runs. It goes into
// `server_socks`.
//
// A process that accepts such a socket is a server: its reads, writes, close and shutdown of such sockets are
// reported from the raw system call tracepoints, as are those of children it forks. Every system call of the
// machine passes here, so the programs look at the number first and at the process next. accept() is reported
// when it has returned a connection of the NAT, its entry then too, with the time it had: before, nobody can
// know whose connection it will be. The host has tracepoints only, no kprobes; io_uring is not seen.
//
// What bounds a flow is told a second time when it ends (bpf/flow_span.bpf.h).
//
// Scheduling: what sched_switch and sched_wakeup do to the threads of the target and of the servers. Both run
// under the run queue's lock, where a submission that woke the consumer could not; ours wakes nobody. Of the
// vCPU threads also how long each exit took, in one event when the guest runs again.
#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"

#include <asm/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 target_tgid = 0;

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
  struct gb_event* e = gb_begin(kind);
  if (!e) return 0;
#pragma unroll
  for (int i = 0; i < count; i++) {
    if (bpf_usdt_arg(ctx, i, (long*)&e->arg[i])) __sync_fetch_and_add(&usdt_errors, 1);
  }
  const __u64 first = e->arg[0];
  note_span(kind, e);
  gb_end(e);
  if (kind == GB_KIND_flow_close) emit_span(first);
  return 0;
}

#define GB_USDT(name, count)                         \
  SEC("usdt") int usdt_##name(struct pt_regs* ctx) { \
    return gb_usdt(ctx, GB_KIND_##name, count);      \
  }
#define GB_PROBE1(name, ...) GB_USDT(name, 1)
#define GB_PROBE2(name, ...) GB_USDT(name, 2)
#define GB_PROBE3(name, ...) GB_USDT(name, 3)
#define GB_PROBE4(name, ...) GB_USDT(name, 4)
#define GB_PROBE5(name, ...) GB_USDT(name, 5)
#define GB_PROBE7(name, ...) GB_USDT(name, 7)
#define GB_PROBE9(name, ...) GB_USDT(name, 9)
#include "bpf/probes.def"

struct server_sock {
  __u64 local_port;
  __u64 peer_port;
};

/* A system call of a server that is under way. */
struct call {
  __u64 enter_ns;
  __u64 fd;
  __u64 skaddr;
  __u64 local_port;
  __u64 peer_port;
  __u64 nr;
};

GB_LRU(nat_socks, __u64, __u8, 32768);            /* skaddr of the NAT's sockets */
GB_LRU(flows, struct gb_sock_view, __u64, 32768); /* the server's view of a NAT connection */
GB_LRU(server_socks, __u64, struct server_sock, 32768);
GB_LRU(server_tgids, __u32, __u8, 4096);
GB_LRU(passive, __u64, __u64, 8192);      /* skaddr of a connection that came in: when it was established */
GB_LRU(calls, __u32, struct call, 16384); /* by thread */

static __always_inline void emit_state(const struct sock* sk, int old_state, int new_state,
                                       const struct gb_sock_view* view, __u64 now) {
  struct gb_event* e = gb_begin_at(GB_KIND_host_sock_state, now);
  if (!e) return;
  gb_fill_sock_state(e->arg, sk, old_state, new_state, view);
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

  if (new_state == GB_TCP_SYN_SENT) { /* only connect() does this, in the caller's own context */
    if (bpf_get_current_pid_tgid() >> 32 != target_tgid) return 0;
    const __u8 one = 1;
    put(&nat_socks, &skaddr, &one);
    emit_state(sk, old_state, new_state, &view, now);
    return 0;
  }
  if (bpf_map_lookup_elem(&nat_socks, &skaddr)) {
    emit_state(sk, old_state, new_state, &view, now);
    const struct gb_sock_view server = {view.peer, view.local, view.peer_port, view.local_port};
    if (new_state == GB_TCP_ESTABLISHED) {
      put(&flows, &server, &skaddr);
    } else if (new_state == GB_TCP_CLOSE) {
      bpf_map_delete_elem(&flows, &server);
      bpf_map_delete_elem(&nat_socks, &skaddr);
    }
    return 0;
  }
  if (old_state == GB_TCP_SYN_RECV && new_state == GB_TCP_ESTABLISHED) {
    put(&passive, &skaddr, &now);
    if (!bpf_map_lookup_elem(&flows, &view)) return 0;
    add_server_sock(skaddr, &view);
  } else if (!bpf_map_lookup_elem(&server_socks, &skaddr)) {
    return 0;
  }
  emit_state(sk, old_state, new_state, &view, now);
  if (new_state == GB_TCP_CLOSE) bpf_map_delete_elem(&server_socks, &skaddr);
  return 0;
}

enum op { OP_NONE, OP_ACCEPT, OP_READ, OP_WRITE, OP_CLOSE, OP_SHUTDOWN };

/* System call numbers of x86-64. */
static __always_inline enum op op_of(long nr) {
  switch (nr) {
    case 43:  /* accept */
    case 288: /* accept4 */
      return OP_ACCEPT;
    case 0:  /* read */
    case 19: /* readv */
    case 45: /* recvfrom */
    case 47: /* recvmsg */
      return OP_READ;
    case 1:  /* write */
    case 20: /* writev */
    case 40: /* sendfile: the first argument is the socket */
    case 44: /* sendto */
    case 46: /* sendmsg */
      return OP_WRITE;
    case 3:
      return OP_CLOSE;
    case 48:
      return OP_SHUTDOWN;
  }
  return OP_NONE;
}

/* The TCP socket behind a descriptor of the current process, or NULL. */
static __always_inline struct sock* sock_of_fd(__u64 fd) {
  const struct task_struct* task = (const struct task_struct*)bpf_get_current_task();
  const struct fdtable* table = BPF_CORE_READ(task, files, fdt);
  struct file** slot = BPF_CORE_READ(table, fd);
  struct file* file = 0;
  if (fd >= BPF_CORE_READ(table, max_fds)) return 0;
  if (bpf_probe_read_kernel(&file, sizeof(file), slot + fd) || !file) return 0;
  if ((BPF_CORE_READ(file, f_inode, i_mode) & 0170000) != 0140000) return 0; /* S_IFSOCK: sockfs */
  struct socket* socket = BPF_CORE_READ(file, private_data);
  struct sock* sk = BPF_CORE_READ(socket, sk);
  return sk && gb_is_tcp(sk) ? sk : 0;
}

static __always_inline int is_compat_call(void) {
  const struct task_struct* task = (const struct task_struct*)bpf_get_current_task();
  return BPF_CORE_READ(task, thread_info.status) & 2; /* TS_COMPAT: other call numbers */
}

static __always_inline void emit_call(__u16 kind, __u64 now, __u64 fd, __u64 skaddr,
                                      const struct server_sock* sock, __s64 last) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  e->arg[0] = fd;
  e->arg[1] = skaddr;
  e->arg[2] = sock->local_port;
  e->arg[3] = sock->peer_port;
  e->arg[4] = last;
  gb_end(e);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs___kernel* regs, long nr) {
  const enum op op = op_of(nr);
  if (op == OP_NONE) return 0;
  const __u64 now = bpf_ktime_get_ns();
  const __u64 id = bpf_get_current_pid_tgid();
  const __u32 tgid = id >> 32, tid = (__u32)id;
  if (tgid == target_tgid) return 0;
  if (op != OP_ACCEPT && !bpf_map_lookup_elem(&server_tgids, &tgid)) return 0;
  if (is_compat_call()) return 0;

  const __u64 fd = (__u32)BPF_CORE_READ(regs, di);
  const struct sock* sk = sock_of_fd(fd);
  const __u64 skaddr = (__u64)sk;
  if (!sk) return 0;
  struct call call = {.enter_ns = now, .fd = fd, .skaddr = skaddr, .nr = nr};
  if (op == OP_ACCEPT) {
    if (BPF_CORE_READ(sk, __sk_common.skc_state) != GB_TCP_LISTEN) return 0;
    call.local_port = gb_local_port(sk);
    put(&calls, &tid, &call);
    return 0;
  }
  struct server_sock* sock = bpf_map_lookup_elem(&server_socks, &skaddr);
  if (!sock) return 0;
  if (op == OP_CLOSE || op == OP_SHUTDOWN) {
    emit_call(GB_KIND_host_server_shutdown, now, fd, skaddr, sock, op == OP_CLOSE ? 2 : 1);
    return 0;
  }
  emit_call(op == OP_READ ? GB_KIND_host_server_read_enter : GB_KIND_host_server_write_enter, now, fd, skaddr,
            sock, 0);
  call.local_port = sock->local_port;
  call.peer_port = sock->peer_port;
  put(&calls, &tid, &call);
  return 0;
}

/* accept() has returned new_fd: if it is a connection of the NAT, the process is a server from now on.
   call->enter_ns is 0 if the server was inside accept() already when tracing began. */
static __always_inline void accepted(__u64 now, __u32 tgid, __u64 new_fd, const struct call* call) {
  const struct sock* sk = sock_of_fd(new_fd);
  const __u64 skaddr = (__u64)sk;
  struct gb_sock_view view = {};
  if (!sk) return;
  gb_view_sock(sk, &view);
  if (!bpf_map_lookup_elem(&server_socks, &skaddr)) {
    /* An accept() that polls can win the race with the softirq that queued the connection and has yet to say
     * so. */
    if (!bpf_map_lookup_elem(&flows, &view)) return;
    add_server_sock(skaddr, &view);
  }
  const __u8 one = 1;
  put(&server_tgids, &tgid, &one);
  if (call->enter_ns) {
    struct gb_event* enter = gb_begin_at(GB_KIND_host_accept_enter, call->enter_ns);
    if (enter) {
      enter->arg[0] = call->fd;
      enter->arg[1] = call->skaddr;
      enter->arg[2] = call->local_port;
      gb_end(enter);
    }
  }
  struct gb_event* e = gb_begin_at(GB_KIND_host_accept, now);
  if (!e) return;
  e->arg[0] = new_fd;
  e->arg[1] = skaddr;
  e->arg[2] = view.local_port;
  e->arg[3] = view.peer_port;
  e->arg[4] = view.local.hi;
  e->arg[5] = view.local.lo;
  e->arg[6] = view.peer.hi;
  e->arg[7] = view.peer.lo;
  gb_end(e);
}

/* The target has accepted a connection to one of its published ports. */
static __always_inline void accepted_inbound(__u64 now, __u64 new_fd) {
  const struct sock* sk = sock_of_fd(new_fd);
  const __u64 skaddr = (__u64)sk;
  if (!sk) return;
  const __u64* established = bpf_map_lookup_elem(&passive, &skaddr);
  const __u64 since = established ? *established : 0;
  inbound_begin_ns = since ? since : now;
  struct gb_event* e = gb_begin_at(GB_KIND_host_inbound, now);
  if (!e) return;
  e->arg[0] = new_fd;
  e->arg[1] = skaddr;
  e->arg[2] = gb_local_port(sk);
  e->arg[3] = gb_peer_port(sk);
  e->arg[4] = since;
  gb_end(e);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs___kernel* regs, long result) {
  const long nr = BPF_CORE_READ(regs, orig_ax);
  const enum op op = op_of(nr);
  if (op != OP_ACCEPT && op != OP_READ && op != OP_WRITE) return 0;
  const __u64 now = bpf_ktime_get_ns();
  const __u64 id = bpf_get_current_pid_tgid();
  const __u32 tgid = id >> 32, tid = (__u32)id;
  if (tgid == target_tgid) {
    if (op == OP_ACCEPT && result >= 0) accepted_inbound(now, result);
    return 0;
  }
  if (op != OP_ACCEPT && !bpf_map_lookup_elem(&server_tgids, &tgid)) return 0;
  if (is_compat_call()) return 0;

  struct call call = {.enter_ns = 0};
  const struct call* found = bpf_map_lookup_elem(&calls, &tid);
  if (found && found->nr == (__u64)nr) call = *found;
  if (op == OP_ACCEPT) {
    if (result >= 0) accepted(now, tgid, result, &call);
  } else if (call.enter_ns) {
    const struct server_sock sock = {call.local_port, call.peer_port};
    emit_call(op == OP_READ ? GB_KIND_host_server_read : GB_KIND_host_server_write, now, call.fd, call.skaddr,
              &sock, result);
  }
  bpf_map_delete_elem(&calls, &tid);
  return 0;
}

/* A child of a server inherits its connections. */
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

static __always_inline void emit_sched(__u16 kind, __u64 now, __u32 tid, __u32 tgid, __u64 state) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  e->arg[0] = tid;
  e->arg[1] = tgid;
  e->arg[2] = state;
  gb_end(e);
}

/* Kernels before 5.18 have no prev_state here; they lack other things that we need too. */
SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempted, struct task_struct* prev, struct task_struct* next,
             unsigned int prev_state) {
  const __u32 prev_tgid = BPF_CORE_READ(prev, tgid), next_tgid = BPF_CORE_READ(next, tgid);
  const int out = is_followed(prev_tgid), in = is_followed(next_tgid);
  if (!out && !in) return 0;
  const __u64 now = bpf_ktime_get_ns();
  if (out)
    emit_sched(GB_KIND_host_sched_out, now, BPF_CORE_READ(prev, pid), prev_tgid, preempted ? 0 : prev_state);
  if (in) emit_sched(GB_KIND_host_sched_in, now, BPF_CORE_READ(next, pid), next_tgid, 0);
  return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct* task) {
  const __u32 tgid = BPF_CORE_READ(task, tgid);
  if (!is_followed(tgid)) return 0;
  emit_sched(GB_KIND_host_sched_wakeup, bpf_ktime_get_ns(), BPF_CORE_READ(task, pid), tgid, 0);
  return 0;
}

/* raw_tp, not tp_btf: the tracepoint is a module's, which may not be there, and its arguments are not needed.
 */
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
  e->arg[0] = *exit_ns;
  gb_end(e);
  return 0;
}
