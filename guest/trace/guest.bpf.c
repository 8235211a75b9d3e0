// The guest's BPF programs: what its kernel does for processes, TCP sockets and TCP frames.
//
// Theory of operation
//
// Tracepoints (tp_btf) cover fork, the end of exec, exit, scheduling, TCP states and frames that go to the
// driver. Nothing else has a tracepoint. The beginnings of fork and exec are kprobes on kernel_clone and
// bprm_execve. socket, connect, accept, send, receive, shutdown, close, reaping and incoming frames are
// fentry/fexit programs. Each of those has a kprobe twin for kernels without fentry; the loader loads one set
// or the other.
//
// process.bpf.h, sched.bpf.h, socket.bpf.h and frame.bpf.h have one topic each. This file has the hooks.
//
// System calls of the agent itself are counted and not reported. That filter does not apply to frames and
// state changes: in softirq context the current process is the one that was interrupted.
#include "guest/trace/frame.bpf.h"
#include "guest/trace/process.bpf.h"
#include "guest/trace/socket.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The hooks without a tracepoint, as fentry/fexit and as kprobes: fe_<name> and kp_<name> are twins. */

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
GB_ENTER(close, tcp_close, (struct sock * sk),
         return on_enter(OP_CLOSE, GB_KIND_guest_close, sk, GB_HOW_CLOSE))
GB_ENTER(release, inet_release, (struct socket * socket), return on_release(socket))
GB_ENTER(receive, dev_gro_receive, (void* napi, struct sk_buff* skb), return on_receive(skb, 1))

static __always_inline __u64 returned(void* ctx) {
  __u64 result = 0;
  bpf_get_func_ret(ctx, &result); /* works without the function's number of arguments */
  return result;
}

#define GB_LEAVE(name, function, body)                                     \
  SEC("fexit/" #function) int BPF_PROG(fx_##name) {                        \
    const __u64 result = returned(ctx);                                    \
    (void)result;                                                          \
    body;                                                                  \
  }                                                                        \
  SEC("kretprobe/" #function) int BPF_KRETPROBE(kr_##name, __u64 result) { \
    (void)result;                                                          \
    body;                                                                  \
  }

GB_LEAVE(connect, inet_stream_connect, return on_connect_done((int)result))
GB_LEAVE(accept, inet_csk_accept, return on_accept((const struct sock*)result))
GB_LEAVE(recv, tcp_recvmsg, return on_leave(OP_RECV, GB_KIND_guest_recv, (int)result))
GB_LEAVE(shutdown, inet_shutdown, return on_leave(OP_SHUTDOWN, GB_KIND_guest_close_done, GB_HOW_SHUTDOWN))
GB_LEAVE(close, tcp_close, return on_close_done())
GB_LEAVE(release, inet_release, return on_released())
GB_LEAVE(wait, kernel_wait4, return on_waited((long)result))
