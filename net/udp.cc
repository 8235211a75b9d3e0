#include "net/udp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "bpf/probes.h"
#include "net/icmp.h"
#include "net/tcp_limits.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kIdleFlowNs = 120 * kNsPerSecond;  // RFC 4787, REQ-5
constexpr std::uint64_t kIdleDnsNs = 20 * kNsPerSecond;
constexpr std::uint64_t kSweepNs = 5 * kNsPerSecond;
constexpr int kDatagramsPerEvent = 64;

}  // namespace

Udp::Udp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, NatCounters& counters)
    : loop_(loop), link_(link), policy_(policy), counters_(counters), flows_(new Flow[kMaxFlows]) {
  buckets_.fill(kNone);
  for (std::uint32_t i = 0; i < kMaxFlows; ++i) {
    flows_[i].udp = this;
    flows_[i].index = static_cast<std::uint16_t>(i);
    flows_[i].next = i + 1 < kMaxFlows ? static_cast<std::uint16_t>(i + 1) : kNone;
  }
}

Udp::~Udp() {
  for (std::uint32_t i = 0; i < kMaxFlows; ++i) {
    if (flows_[i].fd >= 0) close(flows_[i]);
  }
}

std::uint32_t Udp::bucket_of(const FlowKey& key) const {
  // No secret is needed: whatever a guest chooses, a chain is no longer than this small table.
  return static_cast<std::uint32_t>(hash_of(key, 0)) % kBuckets;
}

Udp::Flow* Udp::find(const FlowKey& key) {
  for (std::uint16_t i = buckets_[bucket_of(key)]; i != kNone; i = flows_[i].next) {
    if (flows_[i].key == key) return &flows_[i];
  }
  return nullptr;
}

DropReason Udp::on_datagram(const FlowKey& key, IovSlice& payload) {
  DropReason reason = DropReason::kNone;
  Flow* flow = find(key);
  if (flow == nullptr) flow = open(key, reason);
  if (flow == nullptr) return reason;
  flow->active_ns = loop_.now_ns();
  msghdr message{};
  message.msg_iov = payload.span().data();
  message.msg_iovlen = payload.span().size();
  // What the socket does not take is lost, as on any wire; an error of an earlier datagram was told by then.
  [[maybe_unused]] const ssize_t sent = ::sendmsg(flow->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return DropReason::kNone;
}

Udp::Flow* Udp::open(const FlowKey& key, DropReason& reason) {
  reason = DropReason::kUdpNotServed;
  const auto verdict = policy_.check(key.dst.v4(), key.dst_port);
  if (verdict.refuse != RefuseReason::kNone) {
    refuse(key, verdict.refuse);
    return nullptr;
  }
  if (free_ == kNone) {
    refuse(key, RefuseReason::kTableFull);
    return nullptr;
  }
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(key.dst_port);
  to.sin_addr.s_addr = htonl(verdict.connect_to);
  Flow& flow = flows_[free_];
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 ||
      !loop_.add(fd.get(), EPOLLIN | EPOLLET, &flow)) {
    refuse(key, RefuseReason::kHostError);
    return nullptr;
  }
  free_ = flow.next;
  flow.key = key;
  flow.fd = fd.release();
  flow.dns = verdict.dns;
  std::uint16_t& bucket = buckets_[bucket_of(key)];
  flow.next = bucket;
  bucket = flow.index;
  if (open_++ == 0) next_sweep_ns_ = loop_.now_ns() + kSweepNs;
  return &flow;
}

void Udp::close(Flow& flow) {
  loop_.remove_closing(flow.fd);
  ::close(flow.fd);
  flow.fd = -1;
  std::uint16_t* link = &buckets_[bucket_of(flow.key)];
  while (*link != flow.index)
    link = &flows_[*link].next;
  *link = flow.next;
  flow.next = free_;
  free_ = flow.index;
  --open_;
}

void Udp::on_deadline() {
  if (open_ == 0 || loop_.now_ns() < next_sweep_ns_) return;
  for (std::uint32_t i = 0; i < kMaxFlows; ++i) {
    Flow& flow = flows_[i];
    const std::uint64_t limit = flow.dns ? kIdleDnsNs : kIdleFlowNs;
    if (flow.fd >= 0 && loop_.now_ns() - flow.active_ns >= limit) close(flow);
  }
  next_sweep_ns_ = loop_.now_ns() + kSweepNs;
}

void Udp::on_host_event(Flow& flow, std::uint32_t events) {
  if (events & EPOLLERR) {
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(flow.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == ECONNREFUSED) {
      refuse(flow.key, RefuseReason::kConnectionRefused);
      return close(flow);
    }
  }
  flow.active_ns = loop_.now_ns();
  for (int i = 0; i < kDatagramsPerEvent; ++i) {
    if (!receive(flow)) return;
  }
  // More than a turn should take: the edge is asked for again. A socket that cannot be watched is of no use.
  if (!loop_.modify(flow.fd, EPOLLIN | EPOLLET, &flow)) close(flow);
}

// One datagram into the guest's buffers; false when there is none. One that is too large for the guest's MTU
// or finds no buffers is lost.
bool Udp::receive(Flow& flow) {
  const std::size_t most = link_.mtu() - kIpv4Header - kUdpHeader;
  if (!link_.begin_udp(most)) {
    char byte = 0;
    if (::recv(flow.fd, &byte, 1, MSG_DONTWAIT) < 0) return false;
    ++counters_.dropped[static_cast<std::size_t>(DropReason::kNoReceiveBuffer)];
    return true;
  }
  msghdr message{};
  message.msg_iov = link_.payload().span().data();
  message.msg_iovlen = link_.payload().span().size();
  const ssize_t got = ::recvmsg(flow.fd, &message, MSG_DONTWAIT);
  if (got < 0 || (message.msg_flags & MSG_TRUNC)) {
    link_.cancel();
    if (got >= 0) ++counters_.dropped[static_cast<std::size_t>(DropReason::kTooLong)];
    return got >= 0;
  }
  link_.finish_udp(flow.key, static_cast<std::size_t>(got));
  return true;
}

void Udp::refuse(const FlowKey& key, RefuseReason reason) {
  ++counters_.refused[static_cast<std::size_t>(reason)];
  probe::flow_refused(static_cast<std::uint32_t>(reason));
  std::array<std::uint8_t, 8> header{};
  store_be16(header.data(), key.guest_port);
  store_be16(&header[2], key.dst_port);
  store_be16(&header[4], kUdpHeader);
  send_unreachable(link_, kIcmpPortUnreachable, kProtocolUdp, key, header);
}

}  // namespace glassbox::net
