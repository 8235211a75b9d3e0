// TCP frames of the guest.
//
// Outgoing frames are seen at net_dev_start_xmit, just before the driver. Incoming frames are seen at
// dev_gro_receive: the driver has handed the frame over, and GRO has not merged it with others yet. There,
// the headers may lie in the first page fragment, which GRO's control block points at. len counts the
// Ethernet header in both directions, although the kernel has already removed it from an incoming frame.
#ifndef GLASSBOX_GUEST_TRACE_FRAME_BPF_H
#define GLASSBOX_GUEST_TRACE_FRAME_BPF_H

#include "bpf/emit.bpf.h"
#include "bpf/sock_view.bpf.h"

#include <linux/if_ether.h>

#include <bpf/bpf_tracing.h>

__u64 unread_frames = 0; /* received frames whose headers could not be read */

#define ARPHRD_ETHER 1

struct tcp_fields {
  __be16 source;
  __be16 dest;
  __be32 seq;
  __be32 ack;
  __u8 offset; /* high half: header length in words */
  __u8 flags;
};

/* A frame with its IP header at `ip`. The IP packet has at most `ip_bytes` bytes; `readable` of them lie at
 * `ip` without a gap. */
struct frame {
  const unsigned char* ip;
  __u32 ip_bytes;
  __u32 readable;
  __u32 frame_bytes;
  __be16 protocol;
};

/* The arguments of guest_xmit and guest_receive: `args` is e-><kind>. */
#define FILL_FRAME(args, own_port, other_port, own, other) \
  do {                                                     \
    (args).local_port = bpf_ntohs(own_port);               \
    (args).peer_port = bpf_ntohs(other_port);              \
    (args).seq = bpf_ntohl(tcp.seq);                       \
    (args).len = frame->frame_bytes;                       \
    (args).tcp_flags = tcp.flags;                          \
    (args).peer_hi = (other).hi;                           \
    (args).peer_lo = (other).lo;                           \
    (args).local_hi = (own).hi;                            \
    (args).local_lo = (own).lo;                            \
    (args).payload = payload;                              \
  } while (0)

static __always_inline void emit_frame(__u16 kind, __u64 now, const struct frame* frame) {
  struct gb_addr src, dst;
  struct tcp_fields tcp;
  __u32 tcp_at, ip_bytes = frame->ip_bytes;

  if (frame->protocol == bpf_htons(ETH_P_IP)) {
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
  } else if (frame->protocol == bpf_htons(ETH_P_IPV6)) {
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
  const __u32 headers = tcp_at + (tcp.offset >> 4) * 4;
  const __u32 payload = ip_bytes > headers ? ip_bytes - headers : 0;
  if (kind == GB_KIND_guest_xmit)
    FILL_FRAME(e->guest_xmit, tcp.source, tcp.dest, src, dst);
  else
    FILL_FRAME(e->guest_receive, tcp.dest, tcp.source, dst, src);
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
                        .frame_bytes = bytes + ETH_HLEN,
                        .protocol = BPF_CORE_READ(skb, protocol)};
  if (has_gro_block && frame.readable == 0) {
    const struct napi_gro_cb* gro = __builtin_preserve_access_index((const void*)&skb->cb);
    frame.ip = BPF_CORE_READ(gro, frag0);
    frame.readable = BPF_CORE_READ(gro, frag0_len);
  }
  emit_frame(GB_KIND_guest_receive, now, &frame);
  return 0;
}

/* For kernels in which dev_gro_receive cannot be hooked. Headers in a fragment cannot be read here. */
SEC("tp_btf/napi_gro_receive_entry")
int BPF_PROG(tp_receive, const struct sk_buff* skb) {
  return on_receive(skb, 0);
}

#endif /* GLASSBOX_GUEST_TRACE_FRAME_BPF_H */
