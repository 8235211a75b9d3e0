// TCP sockets: the calls of the processes, and the states.
//
// socket() and the end of close() bound a cycle. A later event repeats the time of each, so that the loss of
// one record does not make the cycle shorter.
#ifndef GLASSBOX_GUEST_TRACE_SOCKET_BPF_H
#define GLASSBOX_GUEST_TRACE_SOCKET_BPF_H

#include "guest/trace/sched.bpf.h"

#include <bpf/bpf_tracing.h>

static __always_inline int on_socket(int family, int type, int protocol) {
  if (family != GB_AF_INET && family != GB_AF_INET6) return 0;
  if ((type & 0xf) != GB_SOCK_STREAM || (protocol != 0 && protocol != GB_IPPROTO_TCP) || is_own()) return 0;
  const __u64 now = bpf_ktime_get_ns();
  follow_current();
  remember(OP_SOCKET, 0, now);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_socket, now);
  if (!e) return 0;
  e->guest_socket.family = family;
  e->guest_socket.type = type;
  e->guest_socket.protocol = protocol;
  gb_end(e);
  return 0;
}

/* The address argument of connect(). Family and port lie at the same place in sockaddr_in and sockaddr_in6.
 */
struct raw_sockaddr {
  __u16 family;
  __be16 port;
  __be32 word[5]; /* IPv4: [0] is the address; IPv6: [0] is the flow label, [1] to [4] the address */
};

static __always_inline int on_connect(struct socket* socket, const void* address) {
  const __u64 now = bpf_ktime_get_ns();
  struct sock* sk = BPF_CORE_READ(socket, sk);
  struct raw_sockaddr raw = {};
  struct call made;
  if (!sk || !gb_is_tcp(sk) || is_own()) return 0;
  bpf_probe_read_kernel(&raw, 8, address);
  if (raw.family == GB_AF_INET6) bpf_probe_read_kernel(&raw, sizeof(raw), address);
  recall_own(OP_SOCKET, &made);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_connect_begin, now);
  if (e) {
    const struct gb_addr dst = raw.family == GB_AF_INET6 ? gb_addr_v6(raw.word + 1) : gb_addr_v4(raw.word[0]);
    e->guest_connect_begin.skaddr = (__u64)sk;
    e->guest_connect_begin.family = raw.family;
    e->guest_connect_begin.dst_port = bpf_ntohs(raw.port);
    e->guest_connect_begin.dst_hi = dst.hi;
    e->guest_connect_begin.dst_lo = dst.lo;
    e->guest_connect_begin.socket_ns = made.ns;
    gb_end(e);
  }
  remember(OP_CONNECT, sk, now);
  return 0;
}

static __always_inline int on_connect_done(int result) {
  const __u64 now = bpf_ktime_get_ns();
  struct call call;
  if (!recall_own(OP_CONNECT, &call)) return 0;
  struct gb_event* e = gb_begin_at(GB_KIND_guest_connect_done, now);
  if (!e) return 0;
  e->guest_connect_done.skaddr = (__u64)call.sk;
  e->guest_connect_done.result = result;
  e->guest_connect_done.local_port = gb_local_port(call.sk);
  e->guest_connect_done.peer_port = gb_peer_port(call.sk);
  gb_end(e);
  return 0;
}

/* What every event of a call on a socket has, and the value of those that have one. */
#define SOCK_CALL(name, value_argument) \
  case GB_KIND_##name:                  \
    e->name.skaddr = (__u64)sk;         \
    value_argument;                     \
    e->name.local_port = local_port;    \
    e->name.peer_port = peer_port;      \
    break;

static __always_inline void emit_sock(__u16 kind, __u64 now, const void* sk, __s64 value, __u64 local_port,
                                      __u64 peer_port) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  switch (kind) { /* a constant of the caller's */
    SOCK_CALL(guest_send, e->guest_send.bytes = value)
    SOCK_CALL(guest_recv_enter, )
    SOCK_CALL(guest_recv, e->guest_recv.result = value)
    SOCK_CALL(guest_close, e->guest_close.how = value)
    SOCK_CALL(guest_close_done, e->guest_close_done.how = value)
    SOCK_CALL(guest_released, e->guest_released.close_done_ns = value)
    SOCK_CALL(guest_accept, )
  }
  gb_end(e);
}

static __always_inline int on_send(const struct sock* sk, __u64 bytes) {
  const __u64 now = bpf_ktime_get_ns();
  if (is_own()) return 0;
  emit_sock(GB_KIND_guest_send, now, sk, bytes, gb_local_port(sk), gb_peer_port(sk));
  return 0;
}

static __always_inline int on_enter(enum op op, __u16 kind, struct sock* sk, __s64 value) {
  const __u64 now = bpf_ktime_get_ns();
  if (is_own()) return 0;
  emit_sock(kind, now, sk, value, gb_local_port(sk), gb_peer_port(sk));
  remember(op, sk, now);
  return 0;
}

static __always_inline int on_leave(enum op op, __u16 kind, __s64 value) {
  const __u64 now = bpf_ktime_get_ns();
  struct call call;
  if (!recall_own(op, &call)) return 0;
  emit_sock(kind, now, call.sk, value, call.local_port, call.peer_port);
  return 0;
}

static __always_inline int on_shutdown(struct socket* socket) {
  struct sock* sk = BPF_CORE_READ(socket, sk);
  if (!sk || !gb_is_tcp(sk)) return 0;
  return on_enter(OP_SHUTDOWN, GB_KIND_guest_close, sk, GB_HOW_SHUTDOWN);
}

static __always_inline int on_close_done(void) {
  const __u64 now = bpf_ktime_get_ns();
  const __u64 around = call_key((__u32)bpf_get_current_pid_tgid(), OP_RELEASE);
  struct call* release = bpf_map_lookup_elem(&calls, &around);
  struct call call;
  if (!recall_own(OP_CLOSE, &call)) return 0;
  if (release) release->ns = now;
  emit_sock(GB_KIND_guest_close_done, now, call.sk, GB_HOW_CLOSE, call.local_port, call.peer_port);
  return 0;
}

/* inet_release() runs for close() of every socket; for a TCP socket tcp_close() runs inside it. */
static __always_inline int on_release(struct socket* socket) {
  struct sock* sk = BPF_CORE_READ(socket, sk);
  if (!sk || !gb_is_tcp(sk) || is_own()) return 0;
  remember(OP_RELEASE, sk, 0);
  return 0;
}

static __always_inline int on_released(void) {
  struct call call;
  if (!recall_own(OP_RELEASE, &call) || !call.ns) return 0;
  emit_sock(GB_KIND_guest_released, bpf_ktime_get_ns(), call.sk, call.ns, call.local_port, call.peer_port);
  return 0;
}

/* accept() has a connection to return. */
static __always_inline int on_accept(const struct sock* sk) {
  const __u64 now = bpf_ktime_get_ns();
  if (!sk || !gb_is_tcp(sk) || is_own()) return 0;
  follow_current();
  emit_sock(GB_KIND_guest_accept, now, sk, 0, gb_local_port(sk), gb_peer_port(sk));
  return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tp_state, const struct sock* sk, int old_state, int new_state) {
  const __u64 now = bpf_ktime_get_ns();
  struct gb_sock_view view = {};
  if (!gb_is_tcp(sk)) return 0;
  gb_view_sock(sk, &view);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_sock_state, now);
  if (!e) return 0;
  GB_FILL_SOCK_STATE(e->guest_sock_state, sk, old_state, new_state, &view);
  gb_end(e);
  return 0;
}

#endif /* GLASSBOX_GUEST_TRACE_SOCKET_BPF_H */
