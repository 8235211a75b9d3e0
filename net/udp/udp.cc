#include "net/udp/udp.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "net/count.h"
#include "net/host/hops.h"
#include "net/host/host_error.h"
#include "net/host/host_refusal.h"
#include "vmm/base/clock.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kIdleFlowNs = 120 * kNsPerSecond;  // RFC 4787, REQ-5
constexpr std::uint64_t kSweepNs = 5 * kNsPerSecond;
constexpr int kDatagramsPerEvent = 64;

void put_udp_header(std::uint8_t* out, const FlowKey& key, std::size_t payload_bytes) {
  store_be16(out, key.guest_port);
  store_be16(out + 2, key.dst_port);
  store_be16(out + 4, static_cast<std::uint16_t>(kUdpHeader + payload_bytes));
  store_be16(out + 6, 0);
}

// The reason for dropping the datagram if the error concerns this datagram alone and not the flow. kNone: the
// error concerns the flow, or there is none.
DropReason drop_reason_of(int error) {
  if (error == EMSGSIZE) return DropReason::kTooLong;
  const bool full = error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == EINTR;
  return full ? DropReason::kNoBuffer : DropReason::kNone;
}

}  // namespace

Udp::Udp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
         NatCounters& counters)
    : loop_(loop), link_(link), policy_(policy), admission_(admission), counters_(counters) {}

Udp::~Udp() {
  table_.for_each([this](Flow& flow) { close(flow); });
}

DropReason Udp::on_datagram(const FlowKey& key, std::uint8_t ttl, IovSlice& payload) {
  const bool to_gateway = is_ours(key.dst);
  if (ttl <= 1 && !to_gateway) {
    send_error(key, IcmpErrorKind::kTimeExceeded, payload);
    return DropReason::kHopsEnded;
  }
  DropReason reason = DropReason::kNone;
  Flow* flow = table_.find(key);
  if (flow == nullptr) flow = open(key, payload, reason);
  if (flow == nullptr) return reason;
  flow->active_ns = loop_.now_ns();
  flow->last_bytes = static_cast<std::uint16_t>(payload.bytes());
  const std::uint8_t hops = to_gateway ? std::uint8_t{0} : hops_from_here(ttl);
  if (flow->hops != hops && flow->listener == nullptr) {
    flow->hops = hops;
    set_hops(flow->fd, !key.dst.is_v4(), hops);
  }
  int error = send(*flow, payload);
  if (error == 0 || drop_reason_of(error) != DropReason::kNone) return drop_reason_of(error);
  // Either this is the answer to an earlier datagram, which is in the error queue and which the call has
  // cleared, or the host cannot send at all. A second attempt tells them apart.
  flow->listener == nullptr ? pass_errors(*flow) : pass_errors(*flow->listener);
  error = send(*flow, payload);
  if (error != 0 && drop_reason_of(error) == DropReason::kNone) refuse(key, refuse_reason_of(error), payload);
  return drop_reason_of(error);
}

int Udp::send(Flow& flow, IovSlice& payload) {
  msghdr message{};
  message.msg_iov = payload.span().data();
  message.msg_iovlen = payload.span().size();
  SocketAddress peer(flow.host_destination, flow.key.dst_port);
  if (flow.listener != nullptr) {
    message.msg_name = peer.get();
    message.msg_namelen = peer.length();
  }
  return ::sendmsg(flow.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

Udp::Flow* Udp::open(const FlowKey& key, const IovSlice& payload, DropReason& reason) {
  reason = DropReason::kUdpNotServed;
  const auto ruling = policy_.check(key.dst, key.dst_port);
  Flow* const flow = table_.vacant();
  RefuseReason refusal = ruling.refuse;
  if (refusal == RefuseReason::kNone) {
    refusal = flow == nullptr ? RefuseReason::kTableFull : admission_.admit(loop_.now_ns());
  }
  if (refusal != RefuseReason::kNone) {
    refuse(key, refusal, payload);
    return nullptr;
  }
  const IpAddress& destination = ruling.connect_to;
  const SocketAddress to(destination, key.dst_port);
  UniqueFd fd(::socket(to.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), to.get(), to.length()) != 0) {
    refuse(key, refuse_reason_of(errno), payload);
    return nullptr;
  }
  queue_host_errors(fd.get(), !destination.is_v4());
  if (!loop_.add(fd.get(), EPOLLIN | EPOLLET, flow)) {
    refuse(key, RefuseReason::kHostResources, payload);
    return nullptr;
  }
  insert(*flow, key, fd.release(), destination);
  return flow;
}

// A flow for a peer of a published port. If the guest has sent to this peer first, from a socket of its own,
// that flow is replaced: from now on the guest answers from the port that the peer knows.
Udp::Flow* Udp::open_published(UdpListener& listener, const FlowKey& key, const IpAddress& peer) {
  if (Flow* known = table_.find(key)) {
    if (known->listener == &listener && known->host_destination == peer) return known;
    close(*known);
  }
  Flow* const flow = table_.vacant();
  const bool full = flow == nullptr || published_ == kMaxPublished;
  const RefuseReason reason = full ? RefuseReason::kTableFull : admission_.admit(loop_.now_ns());
  if (reason != RefuseReason::kNone) {
    count_refusal(counters_, reason);
    return nullptr;
  }
  insert(*flow, key, listener.fd(), peer);
  flow->listener = &listener;
  ++published_;
  return flow;
}

void Udp::insert(Flow& flow, const FlowKey& key, int fd, const IpAddress& host_destination) {
  if (table_.size() == 0) next_sweep_ns_ = loop_.now_ns() + kSweepNs;
  table_.insert(flow, key);
  flow.udp = this;
  flow.fd = fd;
  flow.host_destination = host_destination;
  flow.listener = nullptr;
  flow.hops = 0;
  flow.last_bytes = 0;
  flow.active_ns = loop_.now_ns();
  ++counters_.udp_flows_opened;
  ++counters_.udp_flows_open;
}

void Udp::close(Flow& flow) {
  if (flow.listener == nullptr) {
    loop_.remove_closing(flow.fd);
    ::close(flow.fd);
  } else {
    --published_;
  }
  flow.fd = -1;
  table_.erase(flow);
  --counters_.udp_flows_open;
}

void Udp::on_deadline() {
  if (table_.size() == 0 || loop_.now_ns() < next_sweep_ns_) return;
  table_.for_each([this](Flow& flow) {
    if (loop_.now_ns() - flow.active_ns >= kIdleFlowNs) close(flow);
  });
  next_sweep_ns_ = loop_.now_ns() + kSweepNs;
}

void Udp::on_host_event(Flow& flow, std::uint32_t events) {
  if (events & EPOLLERR) pass_errors(flow);
  flow.active_ns = loop_.now_ns();
  for (int i = 0; i < kDatagramsPerEvent; ++i) {
    if (!receive(flow)) return;
  }
  // The rest can wait for the next turn. A socket that cannot be watched any more is of no use.
  if (!loop_.rearm(flow.fd, EPOLLIN | EPOLLET, &flow)) close(flow);
}

void Udp::on_published(UdpListener& listener, std::uint32_t events) {
  if (events & EPOLLERR) pass_errors(listener);
  for (int i = 0; i < kDatagramsPerEvent; ++i) {
    if (!receive_published(listener)) return;
  }
  listener.rearm();
}

std::size_t Udp::largest_payload(const IpAddress& guest) const {
  return link_.mtu() - ip_header_bytes(guest) - kUdpHeader;
}

// Without receive buffers the datagram is lost. False if there was none.
bool Udp::discard_one(int fd) {
  char byte = 0;
  const ssize_t got = ::recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0) return errno != EAGAIN;
  count_drop(counters_, DropReason::kNoReceiveBuffer, static_cast<std::size_t>(got));
  return true;
}

// Receives one datagram into the guest's buffers; false if there is none. A datagram that is too large for
// the guest's MTU, or finds no buffers, is lost.
bool Udp::receive(Flow& flow) {
  if (!link_.begin_udp(flow.key.guest, largest_payload(flow.key.guest))) return discard_one(flow.fd);
  msghdr message{};
  message.msg_iov = link_.payload().span().data();
  message.msg_iovlen = link_.payload().span().size();
  const ssize_t got = ::recvmsg(flow.fd, &message, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 || (message.msg_flags & MSG_TRUNC)) {
    const bool more = got >= 0 || errno != EAGAIN;  // pass_errors() has read the error from the queue
    link_.cancel();
    if (got >= 0) count_drop(counters_, DropReason::kTooLong, static_cast<std::size_t>(got));
    return more;
  }
  link_.finish_udp(flow.key, static_cast<std::size_t>(got));
  return true;
}

bool Udp::receive_published(UdpListener& listener) {
  const IpAddress guest = listener.guest();
  if (!link_.begin_udp(guest, largest_payload(guest))) return discard_one(listener.fd());
  SocketAddress peer;
  msghdr message{};
  message.msg_name = peer.get();
  message.msg_namelen = peer.length();
  message.msg_iov = link_.payload().span().data();
  message.msg_iovlen = link_.payload().span().size();
  const ssize_t got = ::recvmsg(listener.fd(), &message, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 || (message.msg_flags & MSG_TRUNC)) {
    const bool more = got >= 0 || errno != EAGAIN;
    link_.cancel();
    if (got >= 0) count_drop(counters_, DropReason::kTooLong, static_cast<std::size_t>(got));
    return more;
  }
  const FlowKey key = listener.key_of(peer.address(), peer.port());
  Flow* const flow = open_published(listener, key, peer.address());
  if (flow == nullptr) {
    link_.cancel();
    return true;
  }
  flow->active_ns = loop_.now_ns();
  link_.finish_udp(key, static_cast<std::size_t>(got));
  return true;
}

// Passes on the errors that routers and the destination sent about the guest's datagrams.
void Udp::pass_errors(Flow& flow) {
  std::array<std::uint8_t, kIcmpErrorQuote> datagram;
  HostError error;
  while (take_host_error(flow.fd, std::span(datagram).subspan(kUdpHeader), error)) {
    tell(flow, error, datagram);
  }
}

void Udp::pass_errors(UdpListener& listener) {
  std::array<std::uint8_t, kIcmpErrorQuote> datagram;
  HostError error;
  while (take_host_error(listener.fd(), std::span(datagram).subspan(kUdpHeader), error)) {
    if (const Flow* flow = table_.find(listener.key_of(error.destination, error.port))) {
      tell(*flow, error, datagram);
    }
  }
}

// datagram: room for the header, then the part of the datagram that the error quotes.
void Udp::tell(const Flow& flow, const HostError& error, std::span<std::uint8_t> datagram) {
  IcmpError told;
  if (!translate(error, policy_, flow.host_destination, flow.key, told)) return;
  const std::size_t bytes = std::max<std::size_t>(flow.last_bytes, error.quoted);
  put_udp_header(datagram.data(), flow.key, bytes);
  const IcmpError refusal = make_icmp_error(IcmpErrorKind::kPortUnreachable, !flow.key.dst.is_v4());
  if (told.type == refusal.type && told.code == refusal.code) {
    count_refusal(counters_, RefuseReason::kConnectionRefused);
  }
  ++counters_.icmp_errors_passed;
  send_icmp_error(link_, told,
                  {kProtocolUdp, flow.key, datagram.first(kUdpHeader + error.quoted), kUdpHeader + bytes});
}

void Udp::refuse(const FlowKey& key, RefuseReason reason, const IovSlice& payload) {
  count_refusal(counters_, reason);
  send_error(key, icmp_kind_of(reason), payload);
}

void Udp::send_error(const FlowKey& key, IcmpErrorKind kind, const IovSlice& payload) {
  std::array<std::uint8_t, kIcmpErrorQuote> datagram;
  put_udp_header(datagram.data(), key, payload.bytes());
  const std::size_t quoted =
      iov_gather(payload.span(), datagram.data() + kUdpHeader, datagram.size() - kUdpHeader);
  send_icmp_error(
      link_, make_icmp_error(kind, !key.dst.is_v4()),
      {kProtocolUdp, key, std::span(datagram).first(kUdpHeader + quoted), kUdpHeader + payload.bytes()});
}

}  // namespace glassbox::net
