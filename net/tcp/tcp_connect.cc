// Opening a flow: the guest's SYN, the host's connect(), the SYN-ACK or the refusal.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "bpf/probes.h"
#include "net/count.h"
#include "net/host/hops.h"
#include "net/host/host_error.h"
#include "net/host/host_refusal.h"
#include "net/host/socket_address.h"
#include "net/icmp/icmp_error.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

// As much of the guest's SYN as an error must quote (RFC 792): by it the guest finds the connection.
std::array<std::uint8_t, 8> quoted_syn(const FlowKey& key, Seq isn) {
  std::array<std::uint8_t, 8> transport;
  store_be16(transport.data(), key.guest_port);
  store_be16(&transport[2], key.dst_port);
  store_be32(&transport[4], isn);
  return transport;
}

}  // namespace

std::uint64_t Tcp::open_flow(const TcpHeader& header) {
  const auto ruling = policy_.check(header.key.dst, header.key.dst_port);
  RefuseReason reason = ruling.refuse;
  if (reason == RefuseReason::kNone && header.key.dst_port == 0) reason = RefuseReason::kBadDestination;
  if (reason == RefuseReason::kNone && counters_.flows_connecting >= kMaxConnecting) {
    reason = RefuseReason::kTooManyConnecting;
  }
  if (reason == RefuseReason::kNone) reason = admission_.admit(now());
  TcpFlow* flow = nullptr;
  if (reason == RefuseReason::kNone) {
    flow = table_->insert(header.key);
    if (flow == nullptr) reason = RefuseReason::kTableFull;
  }
  if (flow == nullptr) {
    refuse(header.key, header.seq, reason);
    return 0;
  }
  begin_flow(*flow);
  take_syn(*flow, header);
  const std::uint64_t id = flow->id;
  const FlowKey& key = flow->key;
  probe::tcp_syn(id, key.guest.is_v4() ? AF_INET : AF_INET6, key.guest.hi, key.guest.lo, key.guest_port,
                 key.dst.hi, key.dst.lo, key.dst_port, flow->irs);
  flow->local = ruling.local;
  flow->hops = ruling.local ? std::uint8_t{0} : hops_from_here(header.hops);
  connect_host(*flow, ruling.connect_to, ruling.local);
  return id;
}

void Tcp::begin_flow(TcpFlow& flow) {
  flow.tcp = this;
  flow.id = ++last_flow_id_;
  flow.state = TcpFlow::State::kConnecting;
  flow.active_ns = now();
  // RFC 6528: a keyed hash of the connection plus a clock of 4 microseconds a tick.
  flow.iss = static_cast<Seq>(hash_of(flow.key, ~table_->secret()) + now() / 4096);
  flow.snd_una = flow.iss;
  flow.snd_nxt = flow.snd_max = flow.sock_seq = flow.peek_at = flow.recover = flow.iss + 1;
  ++counters_.flows_opened;
  ++counters_.flows_open;
  ++counters_.flows_connecting;
  start_timer(flow, now() + kConnectNs);
}

void Tcp::take_syn(TcpFlow& flow, const TcpHeader& header) {
  flow.irs = header.seq;
  flow.rcv_nxt = flow.rcv_edge = flow.acked = header.seq + 1;
  const std::uint16_t largest = link_.max_mss(flow.key);
  flow.mss = std::min(std::max(header.mss == 0 ? kDefaultMss : header.mss, kMinMss), largest);
  flow.scale_ok = header.scale >= 0;
  flow.snd_scale =
      flow.scale_ok ? std::min(static_cast<std::uint8_t>(header.scale), kMaxScale) : std::uint8_t{0};
  flow.rcv_scale = flow.scale_ok ? kOurScale : std::uint8_t{0};
  flow.snd_wnd = header.window;  // that of a SYN is never scaled (RFC 7323, 2.2)
  flow.snd_wl1 = header.seq;
  flow.snd_wl2 = flow.iss;
}

void Tcp::connect_host(TcpFlow& flow, const IpAddress& address, bool local) {
  const SocketAddress to(address, flow.key.dst_port);
  flow.fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (flow.fd < 0) return connect_failed(flow, errno);
  if (flow.hops != 0) {  // tcptraceroute: who says that its SYN went no further is what it wants to know
    set_hops(flow.fd, to.family() == AF_INET6, flow.hops);
    queue_host_errors(flow.fd, to.family() == AF_INET6);
  }
  probe::tcp_connect_begin(flow.id, flow.fd);
  int error = ::connect(flow.fd, to.get(), to.length()) == 0 ? 0 : errno;
  // To a local server the handshake ends while connect() gives the socket back, too late for its result; the
  // second call tells, and saves a turn of the event loop.
  if (error == EINPROGRESS && local) {
    error = ::connect(flow.fd, to.get(), to.length()) == 0 ? 0 : errno;
    if (error == EALREADY) error = EINPROGRESS;
  }
  if (error != EINPROGRESS) {
    probe::tcp_connect_done(flow.id, flow.fd, error, error == 0 ? 1 : 0);
    if (error != 0) return connect_failed(flow, error);
  }
  const std::uint32_t events = error == 0 ? kEvents : kEvents | EPOLLOUT;
  flow.watches_writable = error != 0;
  if (!loop_.add(flow.fd, events, &flow)) return connect_failed(flow, ENOMEM);
  if (error == 0) connected(flow, true);
}

void Tcp::finish_connect(TcpFlow& flow, std::uint32_t events) {
  if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
  int error = 0;
  if (events & (EPOLLERR | EPOLLHUP)) {
    socklen_t length = sizeof(error);
    ::getsockopt(flow.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  // A router's word is in the queue alone if the kernel was busy with the socket: it would try again.
  if (error == 0 && flow.hops != 0 && !(events & EPOLLOUT)) error = EHOSTUNREACH;
  probe::tcp_connect_done(flow.id, flow.fd, error, 0);
  if (error != 0) return connect_failed(flow, error);
  connected(flow, false);
}

void Tcp::connected(TcpFlow& flow, bool immediate) {
  // From now on what routers say is no more than a hint (RFC 5927, 4).
  if (flow.hops != 0) queue_host_errors(flow.fd, !flow.key.dst.is_v4(), false);
  flow.state = TcpFlow::State::kSynReceived;
  flow.immediate = immediate;
  --counters_.flows_connecting;
  flow.syn_ack_due = true;
  mark_dirty(flow);
}

void Tcp::connect_failed(TcpFlow& flow, int error) {
  const RefuseReason reason = refuse_reason_of(error);
  if (!pass_error(flow, reason)) refuse(flow.key, flow.irs, reason);
  close_flow(flow, error == ETIMEDOUT ? CloseReason::kConnectTimeout : CloseReason::kConnectFailed);
}

// What a router said of a SYN that counts hops, to the guest in the router's name. False if none did.
bool Tcp::pass_error(TcpFlow& flow, RefuseReason reason) {
  if (flow.hops == 0 || flow.fd < 0) return false;
  std::array<std::uint8_t, kIcmpErrorQuote> quotation;
  HostError error;
  IcmpError told;
  if (!take_host_error(flow.fd, quotation, error) ||
      !translate(error, policy_, error.destination, flow.key, told)) {
    return false;
  }
  count_refusal(counters_, reason);
  ++counters_.icmp_errors_passed;
  const auto syn = quoted_syn(flow.key, flow.irs);
  send_icmp_error(link_, told, {kProtocolTcp, flow.key, syn, kTcpHeader});
  return true;
}

// An unreachable destination is told by ICMP, as a router would; everything else by a reset.
void Tcp::refuse(const FlowKey& key, Seq isn, RefuseReason reason) {
  count_refusal(counters_, reason);
  if (reason == RefuseReason::kUnreachable || reason == RefuseReason::kNetworkUnreachable ||
      reason == RefuseReason::kConnectTimeout) {
    const auto syn = quoted_syn(key, isn);
    return send_icmp_error(link_, make_icmp_error(icmp_kind_of(reason), !key.dst.is_v4()),
                           {kProtocolTcp, key, syn, kTcpHeader});
  }
  const TcpSegment reset{.key = &key, .ack = isn + 1, .flags = kTcpRst | kTcpAck, .options = {}};
  if (!link_.send_tcp(reset)) count(DropReason::kNoReceiveBuffer, 0);
}

// The host is still being connected. A repeated SYN changes nothing; one with another initial sequence number
// means that the guest began anew from the same port.
void Tcp::while_connecting(TcpFlow& flow, const TcpHeader& header) {
  if (header.has(kTcpRst)) {
    if (header.seq == flow.irs + 1) return close_flow(flow, CloseReason::kGuestReset);
    return count(DropReason::kBadReset, 0);
  }
  if (header.has(kTcpSyn) && !header.has(kTcpAck)) {
    if (header.seq == flow.irs) return count(DropReason::kDuplicate, 0);
    return take_syn(flow, header);
  }
  count(DropReason::kBadAck, 0);
}

}  // namespace glassbox::net
