// Reads a struct sock for the BPF programs of both sides: ports in host byte order, addresses as two 64-bit
// halves, IPv4 in its mapped form (::ffff:a.b.c.d), as events.def has every address. A dual-stack IPv6 socket
// that talks IPv4 therefore has the same address as a plain IPv4 socket.
#ifndef GLASSBOX_BPF_SOCK_VIEW_BPF_H
#define GLASSBOX_BPF_SOCK_VIEW_BPF_H

#include "bpf/kernel_types.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Not in any header that a BPF program can include; TCP states are (BPF_TCP_* of linux/bpf.h). */
#define GB_AF_INET 2
#define GB_AF_INET6 10
#define GB_IPPROTO_TCP 6
#define GB_SOCK_STREAM 1

struct gb_addr {
  __u64 hi;
  __u64 lo;
};

/* All fields are 64 bits wide so that the structure has no padding and serves as a map key. */
struct gb_sock_view {
  struct gb_addr local;
  struct gb_addr peer;
  __u64 local_port;
  __u64 peer_port;
};

static __always_inline struct gb_addr gb_addr_v4(__be32 address) {
  struct gb_addr out = {0, 0xffff00000000ull | bpf_ntohl(address)};
  return out;
}

static __always_inline struct gb_addr gb_addr_v6(const __be32* word) {
  struct gb_addr out = {((__u64)bpf_ntohl(word[0]) << 32) | bpf_ntohl(word[1]),
                        ((__u64)bpf_ntohl(word[2]) << 32) | bpf_ntohl(word[3])};
  return out;
}

static __always_inline int gb_is_tcp(const struct sock* sk) {
  const __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
  return (family == GB_AF_INET || family == GB_AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == GB_IPPROTO_TCP;
}

/* Reads inet_sport, because the kernel gives the port back and sets skc_num to 0 just before a socket's last
 * state change. */
static __always_inline __u64 gb_local_port(const struct sock* sk) {
  return bpf_ntohs(BPF_CORE_READ((const struct inet_sock*)sk, inet_sport));
}

static __always_inline __u64 gb_peer_port(const struct sock* sk) {
  return bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

static __always_inline void gb_view_sock(const struct sock* sk, struct gb_sock_view* view) {
  view->local_port = gb_local_port(sk);
  view->peer_port = gb_peer_port(sk);
  if (BPF_CORE_READ(sk, __sk_common.skc_family) == GB_AF_INET6) {
    struct in6_addr local = {}, peer = {};
    BPF_CORE_READ_INTO(&local, sk, __sk_common.skc_v6_rcv_saddr);
    BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr);
    view->local = gb_addr_v6(local.in6_u.u6_addr32);
    view->peer = gb_addr_v6(peer.in6_u.u6_addr32);
  } else {
    view->local = gb_addr_v4(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
    view->peer = gb_addr_v4(BPF_CORE_READ(sk, __sk_common.skc_daddr));
  }
}

/* The arguments of host_sock_state and guest_sock_state: `args` is e-><kind>. */
#define GB_FILL_SOCK_STATE(args, sk, before, after, view)      \
  do {                                                         \
    (args).skaddr = (__u64)(sk);                               \
    (args).family = BPF_CORE_READ(sk, __sk_common.skc_family); \
    (args).old_state = (before);                               \
    (args).new_state = (after);                                \
    (args).local_port = (view)->local_port;                    \
    (args).peer_port = (view)->peer_port;                      \
    (args).local_hi = (view)->local.hi;                        \
    (args).local_lo = (view)->local.lo;                        \
    (args).peer_hi = (view)->peer.hi;                          \
    (args).peer_lo = (view)->peer.lo;                          \
  } while (0)

#endif /* GLASSBOX_BPF_SOCK_VIEW_BPF_H */
