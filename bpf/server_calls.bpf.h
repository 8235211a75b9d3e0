// The system calls of servers on this machine, and the accept() calls of the target itself. The theory of
// operation is in host.bpf.c.
//
// Included by host.bpf.c alone, which has put(), GB_LRU and the maps of sockets and processes.
#ifndef GLASSBOX_BPF_SERVER_CALLS_BPF_H
#define GLASSBOX_BPF_SERVER_CALLS_BPF_H

#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"

#include <bpf/bpf_tracing.h>

/* A system call of a server that has not returned yet. */
struct call {
  __u64 enter_ns;
  __u64 fd;
  __u64 skaddr;
  __u64 local_port;
  __u64 peer_port;
  __u64 nr;
};

GB_LRU(calls, __u32, struct call, 16384); /* by thread */

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
  return BPF_CORE_READ(task, thread_info.status) & 2; /* TS_COMPAT: a 32-bit call, which has other numbers */
}

/* What every event of a server's call has, and the last argument of those that have one. */
#define GB_SERVER_CALL(name, last_argument) \
  case GB_KIND_##name:                      \
    e->name.fd = fd;                        \
    e->name.skaddr = skaddr;                \
    e->name.local_port = sock->local_port;  \
    e->name.peer_port = sock->peer_port;    \
    last_argument;                          \
    break;

static __always_inline void emit_call(__u16 kind, __u64 now, __u64 fd, __u64 skaddr,
                                      const struct server_sock* sock, __s64 last) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  switch (kind) { /* a constant of the caller's */
    GB_SERVER_CALL(host_server_read_enter, )
    GB_SERVER_CALL(host_server_read, e->host_server_read.result = last)
    GB_SERVER_CALL(host_server_write_enter, )
    GB_SERVER_CALL(host_server_write, e->host_server_write.result = last)
    GB_SERVER_CALL(host_server_shutdown, e->host_server_shutdown.how = last)
  }
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
    if (BPF_CORE_READ(sk, __sk_common.skc_state) != BPF_TCP_LISTEN) return 0;
    call.local_port = gb_local_port(sk);
    put(&calls, &tid, &call);
    return 0;
  }
  struct server_sock* sock = bpf_map_lookup_elem(&server_socks, &skaddr);
  if (!sock) return 0;
  if (op == OP_CLOSE || op == OP_SHUTDOWN) {
    emit_call(GB_KIND_host_server_shutdown, now, fd, skaddr, sock,
              op == OP_CLOSE ? GB_HOW_CLOSE : GB_HOW_SHUTDOWN);
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
    /* An accept() that polls may return before the softirq that queued the connection has run the state
     * tracepoint. */
    if (!bpf_map_lookup_elem(&flows, &view)) return;
    add_server_sock(skaddr, &view);
  }
  const __u8 one = 1;
  put(&server_tgids, &tgid, &one);
  if (call->enter_ns) {
    struct gb_event* enter = gb_begin_at(GB_KIND_host_accept_enter, call->enter_ns);
    if (enter) {
      enter->host_accept_enter.fd = call->fd;
      enter->host_accept_enter.listener_skaddr = call->skaddr;
      enter->host_accept_enter.local_port = call->local_port;
      gb_end(enter);
    }
  }
  struct gb_event* e = gb_begin_at(GB_KIND_host_accept, now);
  if (!e) return;
  e->host_accept.new_fd = new_fd;
  e->host_accept.skaddr = skaddr;
  e->host_accept.local_port = view.local_port;
  e->host_accept.peer_port = view.peer_port;
  e->host_accept.local_hi = view.local.hi;
  e->host_accept.local_lo = view.local.lo;
  e->host_accept.peer_hi = view.peer.hi;
  e->host_accept.peer_lo = view.peer.lo;
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
  e->host_inbound.new_fd = new_fd;
  e->host_inbound.skaddr = skaddr;
  e->host_inbound.local_port = gb_local_port(sk);
  e->host_inbound.peer_port = gb_peer_port(sk);
  e->host_inbound.established_ns = since;
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

#endif /* GLASSBOX_BPF_SERVER_CALLS_BPF_H */
