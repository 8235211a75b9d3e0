// Connections from outside to a published port: accepted on the host, then opened towards the guest by a SYN
// of the NAT (RFC 9293, 3.10.7.3).
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bpf/probes.h"
#include "net/count.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

}  // namespace

void Tcp::open_from_host(UniqueFd connection, const FlowKey& key) {
  RefuseReason reason = RefuseReason::kNone;
  if (counters_.flows_connecting >= kMaxConnecting) reason = RefuseReason::kTooManyConnecting;
  if (table_->find(key) != nullptr) reason = RefuseReason::kAlreadyOpen;
  if (reason == RefuseReason::kNone) reason = admission_.admit(now());
  TcpFlow* flow = reason == RefuseReason::kNone ? table_->insert(key) : nullptr;
  if (flow == nullptr) {
    if (reason == RefuseReason::kNone) reason = RefuseReason::kTableFull;
    count_refusal(counters_, reason);
    return close_now({connection.release(), true, false, 0, 0});
  }
  begin_flow(*flow);
  flow->state = TcpFlow::State::kSynSent;
  flow->host.fd = connection.release();
  flow->receive.offer_scaling();
  flow->syn_due = true;
  probe::tcp_syn(flow->id, key.guest.is_v4() ? AF_INET : AF_INET6, key.guest.hi, key.guest.lo, key.guest_port,
                 key.dst.hi, key.dst.lo, key.dst_port, flow->send.initial());
  if (!loop_.add(flow->host.fd, kEvents, flow)) return close_flow(*flow, CloseReason::kHostError);
  mark_dirty(*flow);
}

// The SYN is with the guest, whose own is awaited.
void Tcp::while_syn_sent(TcpFlow& flow, const TcpHeader& header) {
  const bool acknowledges = header.has(kTcpAck);
  if (acknowledges && header.ack != flow.send.initial() + 1) {
    if (!header.has(kTcpRst)) return no_flow(header, 0);
    return count(DropReason::kBadReset, 0);
  }
  if (header.has(kTcpRst)) {
    if (acknowledges) return close_flow(flow, CloseReason::kGuestReset);  // no program listens there
    return count(DropReason::kBadReset, 0);
  }
  if (!header.has(kTcpSyn)) return count(DropReason::kBadAck, 0);
  take_syn(flow, header);
  --counters_.flows_connecting;
  if (acknowledges) {
    flow.state = TcpFlow::State::kOpen;
    flow.send.open(now());
    flow.syn_due = false;
    flow.receive.require_ack();
  } else {  // both opened at once (RFC 9293, figure 8)
    flow.state = TcpFlow::State::kSynReceived;
    flow.send.timer.forget_attempts();
    flow.send.timer.stop();
    flow.syn_due = true;
  }
  start_timer(flow, now() + kIdleNs);
  mark_dirty(flow);
}

}  // namespace glassbox::net
