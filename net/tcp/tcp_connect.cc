// Opening a flow: the guest's SYN, the host's connect(), the SYN-ACK or the refusal.
#include <netinet/in.h>
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
std::array<std::uint8_t, 8> quoted_syn(const FlowKey& key, Seq initial) {
  std::array<std::uint8_t, 8> transport;
  store_be16(transport.data(), key.guest_port);
  store_be16(&transport[2], key.dst_port);
  store_be32(&transport[4], initial);
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
                 key.dst.hi, key.dst.lo, key.dst_port, flow->receive.initial());
  flow->host.local = ruling.local;
  flow->host.hop_limit = ruling.local ? std::uint8_t{0} : hops_from_here(header.hops);
  connect_host(*flow, ruling.connect_to);
  return id;
}

void Tcp::begin_flow(TcpFlow& flow) {
  flow.tcp = this;
  flow.id = ++last_flow_id_;
  flow.state = TcpFlow::State::kConnecting;
  flow.active_ns = now();
  // RFC 6528: a keyed hash of the connection plus a clock of 4 microseconds a tick.
  flow.send.begin(static_cast<Seq>(hash_of(flow.key, ~table_->secret()) + now() / 4096));
  flow.host.peek_at = flow.send.next();
  ++counters_.flows_opened;
  ++counters_.flows_open;
  ++counters_.flows_connecting;
  start_timer(flow, now() + kConnectNs);
}

void Tcp::take_syn(TcpFlow& flow, const TcpHeader& header) {
  flow.receive.take_syn(header.seq, header.scale >= 0);
  flow.send.take_syn(header, link_.max_mss(flow.key));
}

void Tcp::connect_host(TcpFlow& flow, const IpAddress& address) {
  const SocketAddress to(address, flow.key.dst_port);
  TcpHost& host = flow.host;
  host.fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (host.fd < 0) return connect_failed(flow, errno);
  if (host.hop_limit != 0) {  // tcptraceroute asks which router its SYN did not get past
    set_hops(host.fd, to.family() == AF_INET6, host.hop_limit);
    queue_host_errors(host.fd, to.family() == AF_INET6);
  }
  probe::tcp_connect_begin(flow.id, host.fd);
  int error = ::connect(host.fd, to.get(), to.length()) == 0 ? 0 : errno;
  // To a local server the handshake ends while connect() gives the socket back, too late for its result. A
  // second call returns it and saves a turn of the event loop.
  if (error == EINPROGRESS && host.local) {
    error = ::connect(host.fd, to.get(), to.length()) == 0 ? 0 : errno;
    if (error == EALREADY) error = EINPROGRESS;
  }
  if (error != EINPROGRESS) {
    probe::tcp_connect_done(flow.id, host.fd, error, error == 0 ? 1 : 0);
    if (error != 0) return connect_failed(flow, error);
  }
  const std::uint32_t events = error == 0 ? kEvents : kEvents | EPOLLOUT;
  host.watches_writable = error != 0;
  if (!loop_.add(host.fd, events, &flow)) return connect_failed(flow, ENOMEM);
  if (error == 0) connected(flow, true);
}

void Tcp::finish_connect(TcpFlow& flow, std::uint32_t events) {
  if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
  int error = 0;
  if (events & (EPOLLERR | EPOLLHUP)) {
    socklen_t length = sizeof(error);
    ::getsockopt(flow.host.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  // If the kernel was busy with the socket, a router's error is in the error queue alone: the kernel would
  // try again.
  if (error == 0 && flow.host.hop_limit != 0 && !(events & EPOLLOUT)) error = EHOSTUNREACH;
  probe::tcp_connect_done(flow.id, flow.host.fd, error, 0);
  if (error != 0) return connect_failed(flow, error);
  connected(flow, false);
}

void Tcp::connected(TcpFlow& flow, bool immediate) {
  // From now on an error from a router is no more than a hint (RFC 5927, 4).
  if (flow.host.hop_limit != 0) queue_host_errors(flow.host.fd, !flow.key.dst.is_v4(), false);
  flow.state = TcpFlow::State::kSynReceived;
  flow.immediate = immediate;
  --counters_.flows_connecting;
  flow.syn_due = true;
  mark_dirty(flow);
}

void Tcp::connect_failed(TcpFlow& flow, int error) {
  const RefuseReason reason = refuse_reason_of(error);
  if (!pass_error(flow, reason)) refuse(flow.key, flow.receive.initial(), reason);
  close_flow(flow, error == ETIMEDOUT ? CloseReason::kConnectTimeout : CloseReason::kConnectFailed);
}

// Passes on what a router answered to a SYN that counts hops, in the router's name. False if none did.
bool Tcp::pass_error(TcpFlow& flow, RefuseReason reason) {
  if (flow.host.hop_limit == 0 || flow.host.fd < 0) return false;
  std::array<std::uint8_t, kIcmpErrorQuote> quotation;
  HostError error;
  IcmpError told;
  if (!take_host_error(flow.host.fd, quotation, error) ||
      !translate(error, policy_, error.destination, flow.key, told)) {
    return false;
  }
  count_refusal(counters_, reason);
  ++counters_.icmp_errors_passed;
  const auto syn = quoted_syn(flow.key, flow.receive.initial());
  send_icmp_error(link_, told, {kProtocolTcp, flow.key, syn, kTcpHeader});
  return true;
}

// Reports an unreachable destination by ICMP, as a router would, and everything else by a reset.
void Tcp::refuse(const FlowKey& key, Seq initial, RefuseReason reason) {
  count_refusal(counters_, reason);
  if (reason == RefuseReason::kUnreachable || reason == RefuseReason::kNetworkUnreachable ||
      reason == RefuseReason::kConnectTimeout) {
    const auto syn = quoted_syn(key, initial);
    return send_icmp_error(link_, make_icmp_error(icmp_kind_of(reason), !key.dst.is_v4()),
                           {kProtocolTcp, key, syn, kTcpHeader});
  }
  const TcpSegment reset{.key = &key, .ack = initial + 1, .flags = kTcpRst | kTcpAck, .options = {}};
  if (!link_.send_tcp(reset)) count(DropReason::kNoReceiveBuffer, 0);
}

// The host is still being connected. A repeated SYN changes nothing. One with another initial sequence number
// is a new connection of the guest from the same port.
void Tcp::while_connecting(TcpFlow& flow, const TcpHeader& header) {
  if (header.has(kTcpRst)) {
    if (header.seq == flow.receive.initial() + 1) return close_flow(flow, CloseReason::kGuestReset);
    return count(DropReason::kBadReset, 0);
  }
  if (header.has(kTcpSyn) && !header.has(kTcpAck)) {
    if (header.seq == flow.receive.initial()) return count(DropReason::kDuplicate, 0);
    return take_syn(flow, header);
  }
  count(DropReason::kBadAck, 0);
}

}  // namespace glassbox::net
