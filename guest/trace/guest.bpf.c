// The guest's BPF programs: what its kernel does for processes, TCP sockets and TCP frames.
//
// Theory of operation
//
// Tracepoints (tp_btf) tell what they can: fork, exec done, exit, TCP states, frames handed to the driver.
// The rest has no tracepoint. fork and exec begin at kprobes on kernel_clone and bprm_execve; socket,
// connect, send, receive, shutdown, close, reaping and the frame's way in are fentry/fexit programs, each
// with a kprobe twin for kernels that have no fentry: the loader loads one set or the other. What a
// function's exit must report is kept by thread from its entry, because a return probe has no arguments and
// because the socket may be gone by then.
//
// Reaped: release_task(child) runs in the parent once wait4() has taken all it wants from the child. Where
// nobody waits, the child releases itself, which is no reaping.
//
// Frames: out at net_dev_start_xmit, just before the driver. In at dev_gro_receive, where the driver has
// handed the frame over and nothing has been merged yet; the headers may lie in the first page fragment,
// which GRO's control block points at. len counts the Ethernet header on both ways, although it has been
// pulled on the way in.
//
// The agent's own system calls are filtered and counted. Frames and state changes are not: in softirq context
// the current process is whoever was interrupted.
//
// On Debian's 6.1 a kprobe program that interrupts another BPF program is skipped silently; therefore every
// fork and every exec that its tracepoint sees without its kprobe having run is counted in kprobe_misses.
#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"

#include <asm/ptrace.h>

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 own_tgid = 0;

__u64 own_events = 0;
__u64 map_errors = 0;
__u64 unread_frames = 0; /* received frames whose headers are where we cannot read them */
__u64 kprobe_misses = 0;
/* Set by the loader once the kprobes are attached. */
__u64 clone_hooked = 0;
__u64 execve_hooked = 0;

enum op { OP_CLONE, OP_EXECVE, OP_CONNECT, OP_RECV, OP_SHUTDOWN, OP_CLOSE };

/* A function that a thread is in. */
struct call {
  struct sock* sk;
  __u64 local_port;
  __u64 peer_port;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64); /* tid << 32 | op */
  __type(value, struct call);
} calls SEC(".maps");

static __always_inline int is_own(void) {
  if (bpf_get_current_pid_tgid() >> 32 != own_tgid) return 0;
  __sync_fetch_and_add(&own_events, 1);
  return 1;
}

static __always_inline __u64 call_key(__u32 tid, enum op op) {
  return (__u64)tid << 32 | op;
}

static __always_inline void remember(enum op op, struct sock* sk) {
  const __u64 key = call_key((__u32)bpf_get_current_pid_tgid(), op);
  struct call call = {.sk = sk};
  if (sk) {
    call.local_port = gb_local_port(sk);
    call.peer_port = gb_peer_port(sk);
  }
  if (bpf_map_update_elem(&calls, &key, &call, BPF_ANY)) __sync_fetch_and_add(&map_errors, 1);
}

/* Takes back what remember() kept; 0 if there was nothing. */
static __always_inline int recall(__u32 tid, enum op op, struct call* out) {
  const __u64 key = call_key(tid, op);
  const struct call* call = bpf_map_lookup_elem(&calls, &key);
  if (!call) return 0;
  *out = *call;
  bpf_map_delete_elem(&calls, &key);
  return 1;
}

/* Processes. */

static __always_inline void end_with_comm(struct gb_event* e) {
  bpf_get_current_comm(&e->arg[10], 16);
  gb_end(e);
}

/* kernel_clone_args.flags is the first member. */
struct kernel_clone_args {
  __u64 flags;
} __attribute__((preserve_access_index));

SEC("kprobe/kernel_clone")
int BPF_KPROBE(kp_clone, struct kernel_clone_args* args) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_clone_begin);
  if (e) {
    e->arg[0] = BPF_CORE_READ(args, flags);
    gb_end(e);
  }
  remember(OP_CLONE, 0);
  return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tp_fork, struct task_struct* parent, struct task_struct* child) {
  if (is_own()) return 0;
  struct call call;
  struct gb_event* e = gb_begin(GB_KIND_guest_fork);
  if (e) {
    e->arg[0] = BPF_CORE_READ(child, tgid);
    e->arg[1] = BPF_CORE_READ(child, pid);
    end_with_comm(e);
  }
  if (!recall((__u32)bpf_get_current_pid_tgid(), OP_CLONE, &call) && clone_hooked) {
    __sync_fetch_and_add(&kprobe_misses, 1);
  }
  return 0;
}

SEC("kprobe/bprm_execve")
int BPF_KPROBE(kp_execve) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_begin);
  if (e) end_with_comm(e);
  remember(OP_EXECVE, 0);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_exec, struct task_struct* task, int old_tid) {
  if (is_own()) return 0;
  struct call call;
  struct gb_event* e = gb_begin(GB_KIND_guest_exec_done);
  if (e) {
    e->arg[0] = old_tid;
    end_with_comm(e);
  }
  if (!recall(old_tid, OP_EXECVE, &call) && execve_hooked) __sync_fetch_and_add(&kprobe_misses, 1);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_exit, struct task_struct* task) {
  if (is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_exit);
  if (!e) return 0;
  e->arg[0] = BPF_CORE_READ(task, exit_code);
  e->arg[1] = BPF_CORE_READ(task, signal, live.counter) == 0;
  end_with_comm(e);
  return 0;
}

static __always_inline int on_release_task(const struct task_struct* child) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  const __u32 child_tgid = BPF_CORE_READ(child, tgid), child_tid = BPF_CORE_READ(child, pid);
  if (child_tgid != child_tid || child_tgid == tgid) return 0; /* a thread, or nobody waits */
  if ((__u32)BPF_CORE_READ(child, real_parent, tgid) != tgid || is_own()) return 0;
  struct gb_event* e = gb_begin_at(GB_KIND_guest_reap, now);
  if (!e) return 0;
  e->arg[0] = child_tgid;
  e->arg[1] = child_tid;
  gb_end(e);
  return 0;
}

/* Sockets. */

static __always_inline int on_socket(int family, int type, int protocol) {
  if (family != GB_AF_INET && family != GB_AF_INET6) return 0;
  if ((type & 0xf) != GB_SOCK_STREAM || (protocol != 0 && protocol != GB_IPPROTO_TCP) || is_own()) return 0;
  struct gb_event* e = gb_begin(GB_KIND_guest_socket);
  if (!e) return 0;
  e->arg[0] = family;
  e->arg[1] = type;
  e->arg[2] = protocol;
  gb_end(e);
  return 0;
}

/* The address that connect() was given: family, port and address lie alike in sockaddr_in and sockaddr_in6.
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
  if (!sk || !gb_is_tcp(sk) || is_own()) return 0;
  bpf_probe_read_kernel(&raw, 8, address);
  if (raw.family == GB_AF_INET6) bpf_probe_read_kernel(&raw, sizeof(raw), address);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_connect_begin, now);
  if (e) {
    const struct gb_addr dst = raw.family == GB_AF_INET6 ? gb_addr_v6(raw.word + 1) : gb_addr_v4(raw.word[0]);
    e->arg[0] = (__u64)sk;
    e->arg[1] = raw.family;
    e->arg[2] = bpf_ntohs(raw.port);
    e->arg[3] = dst.hi;
    e->arg[4] = dst.lo;
    gb_end(e);
  }
  remember(OP_CONNECT, sk);
  return 0;
}

static __always_inline int on_connect_done(int result) {
  const __u64 now = bpf_ktime_get_ns();
  struct call call;
  if (!recall((__u32)bpf_get_current_pid_tgid(), OP_CONNECT, &call)) return 0;
  struct gb_event* e = gb_begin_at(GB_KIND_guest_connect_done, now);
  if (!e) return 0;
  e->arg[0] = (__u64)call.sk;
  e->arg[1] = (__s64)result;
  e->arg[2] = gb_local_port(call.sk);
  e->arg[3] = gb_peer_port(call.sk);
  gb_end(e);
  return 0;
}

/* guest_send, guest_recv_enter, guest_recv, guest_close and guest_close_done: skaddr, a value, the ports. */
static __always_inline void emit_sock(__u16 kind, __u64 now, const void* sk, __s64 value, __u64 local_port,
                                      __u64 peer_port) {
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  e->arg[0] = (__u64)sk;
  e->arg[1] = value;
  e->arg[2] = local_port;
  e->arg[3] = peer_port;
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
  remember(op, sk);
  return 0;
}

static __always_inline int on_leave(enum op op, __u16 kind, __s64 value) {
  const __u64 now = bpf_ktime_get_ns();
  struct call call;
  if (!recall((__u32)bpf_get_current_pid_tgid(), op, &call)) return 0;
  emit_sock(kind, now, call.sk, value, call.local_port, call.peer_port);
  return 0;
}

static __always_inline int on_shutdown(struct socket* socket) {
  struct sock* sk = BPF_CORE_READ(socket, sk);
  if (!sk || !gb_is_tcp(sk)) return 0;
  return on_enter(OP_SHUTDOWN, GB_KIND_guest_close, sk, 1);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tp_state, const struct sock* sk, int old_state, int new_state) {
  const __u64 now = bpf_ktime_get_ns();
  struct gb_sock_view view = {};
  if (!gb_is_tcp(sk)) return 0;
  gb_view_sock(sk, &view);
  struct gb_event* e = gb_begin_at(GB_KIND_guest_sock_state, now);
  if (!e) return 0;
  gb_fill_sock_state(e->arg, sk, old_state, new_state, &view);
  gb_end(e);
  return 0;
}

/* Frames. */

#define ETH_HEADER_BYTES 14
#define ARPHRD_ETHER 1

struct tcp_fields {
  __be16 source;
  __be16 dest;
  __be32 seq;
  __be32 ack;
  __u8 offset; /* high half: header length in words */
  __u8 flags;
};

/* A frame whose IP header is at `ip` and whose IP packet has at most `ip_bytes` bytes, `readable` of them
 * there. */
struct frame {
  const unsigned char* ip;
  __u32 ip_bytes;
  __u32 readable;
  __u32 frame_bytes;
  __be16 protocol;
};

static __always_inline void emit_frame(__u16 kind, __u64 now, const struct frame* frame) {
  struct gb_addr src, dst;
  struct tcp_fields tcp;
  __u32 tcp_at, ip_bytes = frame->ip_bytes;

  if (frame->protocol == bpf_htons(0x0800)) {
    struct {
      __u8 version_ihl, tos;
      __be16 total;
      __be16 id, fragment;
      __u8 ttl, protocol;
      __be16 check;
      __be32 source, dest;
    } ip;
    if (frame->readable < sizeof(ip) || bpf_probe_read_kernel(&ip, sizeof(ip), frame->ip)) goto unread;
    /* Not TCP, or not the first fragment. */
    if (ip.protocol != GB_IPPROTO_TCP || (bpf_ntohs(ip.fragment) & 0x1fff)) return;
    tcp_at = (ip.version_ihl & 0xf) * 4;
    if (bpf_ntohs(ip.total) < ip_bytes) ip_bytes = bpf_ntohs(ip.total); /* Ethernet pads short frames */
    src = gb_addr_v4(ip.source);
    dst = gb_addr_v4(ip.dest);
  } else if (frame->protocol == bpf_htons(0x86dd)) {
    struct {
      __be32 version_flow;
      __be16 payload;
      __u8 next, hops;
      __be32 source[4], dest[4];
    } ip;
    if (frame->readable < sizeof(ip) || bpf_probe_read_kernel(&ip, sizeof(ip), frame->ip)) goto unread;
    if (ip.next != GB_IPPROTO_TCP) return;
    tcp_at = sizeof(ip);
    if (ip.payload && bpf_ntohs(ip.payload) + tcp_at < ip_bytes) ip_bytes = bpf_ntohs(ip.payload) + tcp_at;
    src = gb_addr_v6(ip.source);
    dst = gb_addr_v6(ip.dest);
  } else {
    return;
  }
  if (frame->readable < tcp_at + sizeof(tcp) ||
      bpf_probe_read_kernel(&tcp, sizeof(tcp), frame->ip + tcp_at)) {
    goto unread;
  }
  struct gb_event* e = gb_begin_at(kind, now);
  if (!e) return;
  const int out = kind == GB_KIND_guest_xmit;
  const __u32 headers = tcp_at + (tcp.offset >> 4) * 4;
  e->arg[0] = bpf_ntohs(out ? tcp.source : tcp.dest);
  e->arg[1] = bpf_ntohs(out ? tcp.dest : tcp.source);
  e->arg[2] = bpf_ntohl(tcp.seq);
  e->arg[3] = frame->frame_bytes;
  e->arg[4] = tcp.flags;
  e->arg[5] = out ? dst.hi : src.hi;
  e->arg[6] = out ? dst.lo : src.lo;
  e->arg[7] = out ? src.hi : dst.hi;
  e->arg[8] = out ? src.lo : dst.lo;
  e->arg[9] = ip_bytes > headers ? ip_bytes - headers : 0;
  gb_end(e);
  return;
unread:
  __sync_fetch_and_add(&unread_frames, 1);
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(tp_xmit, const struct sk_buff* skb, const struct net_device* dev) {
  const __u64 now = bpf_ktime_get_ns();
  if (BPF_CORE_READ(dev, type) != ARPHRD_ETHER) return 0;
  const unsigned char* ip = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
  const __u32 bytes = BPF_CORE_READ(skb, len);
  const __u32 link_header = ip - BPF_CORE_READ(skb, data);
  struct frame frame = {.ip = ip,
                        .ip_bytes = bytes - link_header,
                        .readable = bytes - BPF_CORE_READ(skb, data_len) - link_header,
                        .frame_bytes = bytes,
                        .protocol = BPF_CORE_READ(skb, protocol)};
  if (link_header > bytes) return 0;
  emit_frame(GB_KIND_guest_xmit, now, &frame);
  return 0;
}

static __always_inline int on_receive(const struct sk_buff* skb, int has_gro_block) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 bytes = BPF_CORE_READ(skb, len);
  struct frame frame = {.ip = BPF_CORE_READ(skb, data),
                        .ip_bytes = bytes,
                        .readable = bytes - BPF_CORE_READ(skb, data_len),
                        .frame_bytes = bytes + ETH_HEADER_BYTES,
                        .protocol = BPF_CORE_READ(skb, protocol)};
  if (has_gro_block && frame.readable == 0) {
    const struct napi_gro_cb* gro = __builtin_preserve_access_index((const void*)&skb->cb);
    frame.ip = BPF_CORE_READ(gro, frag0);
    frame.readable = BPF_CORE_READ(gro, frag0_len);
  }
  emit_frame(GB_KIND_guest_receive, now, &frame);
  return 0;
}

/* Of kernels where dev_gro_receive cannot be hooked: frames with their headers in a fragment cannot be read.
 */
SEC("tp_btf/napi_gro_receive_entry")
int BPF_PROG(tp_receive, const struct sk_buff* skb) {
  return on_receive(skb, 0);
}

/* The hooks without a tracepoint, as fentry/fexit and as kprobes. The name after the underscore is the same.
 */

#define GB_ENTER(name, function, params, body)                           \
  SEC("fentry/" #function) int BPF_PROG(fe_##name, GB_UNWRAP params) {   \
    body;                                                                \
  }                                                                      \
  SEC("kprobe/" #function) int BPF_KPROBE(kp_##name, GB_UNWRAP params) { \
    body;                                                                \
  }
#define GB_UNWRAP(...) __VA_ARGS__

GB_ENTER(reap, release_task, (struct task_struct * child), return on_release_task(child))
GB_ENTER(socket, __sys_socket, (int family, int type, int protocol), return on_socket(family, type, protocol))
GB_ENTER(connect, inet_stream_connect, (struct socket * socket, void* address),
         return on_connect(socket, address))
GB_ENTER(send, tcp_sendmsg, (struct sock * sk, void* message, __u64 bytes), return on_send(sk, bytes))
GB_ENTER(recv, tcp_recvmsg, (struct sock * sk), return on_enter(OP_RECV, GB_KIND_guest_recv_enter, sk, 0))
GB_ENTER(shutdown, inet_shutdown, (struct socket * socket), return on_shutdown(socket))
GB_ENTER(close, tcp_close, (struct sock * sk), return on_enter(OP_CLOSE, GB_KIND_guest_close, sk, 2))
GB_ENTER(receive, dev_gro_receive, (void* napi, struct sk_buff* skb), return on_receive(skb, 1))

static __always_inline int returned(void* ctx) {
  __u64 result = 0;
  bpf_get_func_ret(ctx, &result); /* spares knowing how many arguments the function has */
  return (int)result;
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(fx_connect) {
  return on_connect_done(returned(ctx));
}
SEC("kretprobe/inet_stream_connect")
int BPF_KRETPROBE(kr_connect, int result) {
  return on_connect_done(result);
}
SEC("fexit/tcp_recvmsg")
int BPF_PROG(fx_recv) {
  return on_leave(OP_RECV, GB_KIND_guest_recv, returned(ctx));
}
SEC("kretprobe/tcp_recvmsg")
int BPF_KRETPROBE(kr_recv, int result) {
  return on_leave(OP_RECV, GB_KIND_guest_recv, result);
}
SEC("fexit/inet_shutdown")
int BPF_PROG(fx_shutdown) {
  return on_leave(OP_SHUTDOWN, GB_KIND_guest_close_done, 1);
}
SEC("kretprobe/inet_shutdown")
int BPF_KRETPROBE(kr_shutdown) {
  return on_leave(OP_SHUTDOWN, GB_KIND_guest_close_done, 1);
}
SEC("fexit/tcp_close")
int BPF_PROG(fx_close) {
  return on_leave(OP_CLOSE, GB_KIND_guest_close_done, 2);
}
SEC("kretprobe/tcp_close")
int BPF_KRETPROBE(kr_close) {
  return on_leave(OP_CLOSE, GB_KIND_guest_close_done, 2);
}
