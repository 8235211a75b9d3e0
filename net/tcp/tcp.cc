// Theory of operation
//
// The guest's TCP ends here and a host socket stands for its peer, so the kernel does TCP with the outer
// world and this code only with a guest that is a memory copy away: no congestion control and no round-trip
// estimates, but every rule that keeps two byte streams intact.
//
// A SYN makes a flow and a non-blocking connect(); the SYN-ACK goes out when the host is connected, a reset
// when it is refused. A connection to a published port makes a flow and a SYN to the guest (tcp_publish.cc).
// Guest payload goes to the socket from guest memory within on_segment(). Whatever else happens (payload
// taken, acknowledgement, socket readable) marks the flow dirty; flush() then visits each dirty flow once,
// reads from its socket straight into the guest's receive buffers and lets every frame carry the newest
// acknowledgement and window. A pure acknowledgement is sent only if nothing else did, and that of a short
// request to a local server only when the reply is late (net/tcp/ack_hold.h).
//
// The host socket is registered once, edge-triggered; `readable` remembers the edge until a read comes up
// short. A read that is short after EPOLLRDHUP is the end of the stream, so the FIN rides on the last
// payload.
//
// Sockets are the buffers. Bulk data towards the guest is read with MSG_PEEK at SO_PEEK_OFF and discarded
// when the guest acknowledges. The first kilobytes are read for good and copied instead: that is cheaper than
// the extra system calls, and short exchanges are all that most flows do. Without SO_PEEK_OFF all of it is
// copied, bounded. Towards the host, what the socket does not take at once waits in bounded memory
// (`overflow`), since a segment dropped here would cost the guest a retransmission time-out; the window stays
// shut until it drains and then follows the room in the socket.
//
// Memory: fixed tables and one pool. Thread: one.
#include "net/tcp/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "bpf/probes.h"
#include "net/count.h"
#include "net/tcp/tcp_limits.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

// TCP has SO_PEEK_OFF since Linux 6.9.
bool probe_peek_off() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int offset = 0;
  return fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) == 0;
}

}  // namespace

Result<std::unique_ptr<Tcp>> Tcp::create(EventLoop& loop, GuestLink& link, DestinationPolicy& policy,
                                         Admission& admission, NatCounters& counters) {
  GB_ASSIGN(auto table, TcpFlowTable::create());
  auto pool = ChunkPool::create(kPoolChunks);
  if (!pool) return tl::unexpected<Error>(std::move(pool.error()));
  return std::unique_ptr<Tcp>(
      new Tcp(loop, link, policy, admission, counters, std::move(*pool), std::move(table), probe_peek_off()));
}

Tcp::Tcp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
         NatCounters& counters, ChunkPool pool, std::unique_ptr<TcpFlowTable> table, bool can_peek)
    : loop_(loop),
      link_(link),
      policy_(policy),
      admission_(admission),
      counters_(counters),
      pool_(std::move(pool)),
      table_(std::move(table)),
      timers_(TcpFlowTable::kMaxFlows),
      can_peek_(can_peek) {}

Tcp::~Tcp() {
  for (std::uint32_t i = 0; i < table_->ever_used(); ++i) {
    TcpFlow& flow = table_->at(i);
    if (flow.state != TcpFlow::State::kFree) close_flow(flow, CloseReason::kShutdown);
  }
  after_publish();
}

void TcpFlow::on_fd_ready(std::uint32_t events) {
  tcp->on_host_event(*this, events);
}

void Tcp::on_host_event(TcpFlow& flow, std::uint32_t events) {
  flow.active_ns = now();
  if (events & EPOLLIN) flow.readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP)) flow.readable = flow.peer_closed = true;
  if (events & EPOLLPRI) {
    // Urgent data is delivered in line, as RFC 6093 recommends; reads stop at its mark.
    const int on = 1;
    flow.urgent = flow.readable = true;
    ::setsockopt(flow.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
  }
  if (flow.state == TcpFlow::State::kConnecting) return finish_connect(flow, events);
  if (events & EPOLLERR) flow.readable = flow.host_error = true;
  if ((events & EPOLLOUT) && !flow.overflow.empty()) flush_overflow(flow);
  mark_dirty(flow);
}

void Tcp::flush() {
  while (dirty_head_ != TcpFlowTable::kNone && !rx_full_) {
    TcpFlow& flow = table_->at(dirty_head_);
    unmark_dirty(flow);
    output(flow);
  }
}

void Tcp::after_publish() {
  for (std::size_t i = 0; i < closing_count_; ++i)
    close_now(closing_[i]);
  closing_count_ = 0;
}

void Tcp::mark_dirty(TcpFlow& flow) {
  if (flow.dirty) return;
  flow.dirty = true;
  ++dirty_count_;
  flow.prev_dirty = dirty_tail_;
  flow.next_dirty = TcpFlowTable::kNone;
  (dirty_tail_ == TcpFlowTable::kNone ? dirty_head_ : table_->at(dirty_tail_).next_dirty) = flow.index;
  dirty_tail_ = flow.index;
}

void Tcp::unmark_dirty(TcpFlow& flow) {
  if (!flow.dirty) return;
  flow.dirty = false;
  --dirty_count_;
  (flow.prev_dirty == TcpFlowTable::kNone ? dirty_head_ : table_->at(flow.prev_dirty).next_dirty) =
      flow.next_dirty;
  (flow.next_dirty == TcpFlowTable::kNone ? dirty_tail_ : table_->at(flow.next_dirty).prev_dirty) =
      flow.prev_dirty;
}

// Both directions ended: the socket goes as soon as nothing more is to be read from or written to it, the
// flow when the guest has acknowledged our FIN and got the acknowledgement of its own.
void Tcp::finish_if_done(TcpFlow& flow) {
  if (!flow.guest_fin || !flow.host_eof || !flow.overflow.empty()) return;
  if (flow.fd >= 0 && flow.sock_seq == flow.eof_seq) close_socket(flow, false);
  const bool fin_acknowledged = flow.snd_una == flow.eof_seq + 1;
  if (flow.fd < 0 && fin_acknowledged && !flow.ack_due) close_flow(flow, CloseReason::kFinished);
}

void Tcp::close_socket(TcpFlow& flow, bool reset) {
  if (flow.fd < 0) return;
  loop_.remove_closing(flow.fd);
  const bool carries_fin = !reset && flow.guest_fin && !flow.host_shut;
  const Closing closing{flow.fd, reset, carries_fin, flow.id, flow.rcv_nxt - 1};
  flow.fd = -1;
  flow.host_shut = true;
  if (closing_count_ == closing_.size()) return close_now(closing);
  closing_[closing_count_++] = closing;
}

void Tcp::close_now(const Closing& closing) {
  if (closing.reset) {
    const linger abort{1, 0};
    ::setsockopt(closing.fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  }
  ::close(closing.fd);
  if (closing.carries_fin) probe::host_send(closing.flow, closing.seq, 0, 0);
}

void Tcp::close_flow(TcpFlow& flow, CloseReason reason) {
  if (flow.state == TcpFlow::State::kConnecting || flow.state == TcpFlow::State::kSynSent) {
    --counters_.flows_connecting;
  }
  // A socket whose peer is gone or never came needs no reset; other early ends must not look like a FIN.
  close_socket(flow, reason == CloseReason::kGuestReset || reason == CloseReason::kGuestSilent ||
                         reason == CloseReason::kIdle || reason == CloseReason::kShutdown);
  probe::flow_close(flow.id, static_cast<std::uint32_t>(reason), flow.bytes_in, flow.bytes_out);
  --counters_.flows_open;
  ++counters_.closed[static_cast<std::size_t>(reason)];
  counters_.bytes_in += flow.bytes_in;
  counters_.bytes_out += flow.bytes_out;
  flow.stored.clear(pool_);
  flow.overflow.clear(pool_);
  unmark_dirty(flow);
  timers_.remove(flow.index);
  table_->erase(flow);
}

void Tcp::reset_both(TcpFlow& flow, CloseReason reason) {
  send_reset(flow);
  close_flow(flow, reason);
}

void Tcp::start_timer(TcpFlow& flow, std::uint64_t due_ns) {
  if (flow.timer_ns != 0 && flow.timer_ns <= due_ns) return;
  flow.timer_ns = due_ns;
  timers_.set(flow.index, due_ns);
}

std::uint64_t Tcp::next_deadline_ns() {
  const std::uint64_t timer = timers_.next_due_ns();
  while (const AckHold::Entry* hold = holds_.front()) {
    if (table_->at(hold->flow_index).ack_by_ns == hold->due_ns) {
      return timer == 0 ? hold->due_ns : std::min(timer, hold->due_ns);
    }
    holds_.pop_front();
  }
  return timer;
}

// No reply has come to carry these acknowledgements.
void Tcp::end_holds() {
  for (const AckHold::Entry* hold = holds_.front(); hold != nullptr && hold->due_ns <= now();
       hold = holds_.front()) {
    TcpFlow& flow = table_->at(hold->flow_index);
    if (flow.ack_by_ns == hold->due_ns) {
      flow.ack_by_ns = 0;
      flow.ack_due = flow.hold_failed = true;
      holds_.learn_failure();
      mark_dirty(flow);
    }
    holds_.pop_front();
  }
}

void Tcp::on_deadline() {
  end_holds();
  std::uint32_t index = 0;
  while (timers_.pop_due(now(), index))
    run_timer(table_->at(index));
}

void Tcp::run_timer(TcpFlow& flow) {
  flow.timer_ns = 0;
  if (flow.state == TcpFlow::State::kConnecting) {
    if (now() - flow.active_ns >= kConnectNs) return connect_failed(flow, ETIMEDOUT);
    return start_timer(flow, flow.active_ns + kConnectNs);
  }
  if (flow.retransmit_ns != 0 && flow.retransmit_ns <= now()) {
    const std::uint64_t id = flow.id;
    retransmit_timeout(flow);
    if (flow.id != id) return;
  }
  const bool opening = flow.state == TcpFlow::State::kSynSent || flow.state == TcpFlow::State::kSynReceived;
  if (opening && flow.retransmit_ns == 0) {
    // Our SYN or SYN-ACK never found a buffer of the guest's, so there is nothing to repeat and count.
    if (now() - flow.active_ns >= kConnectNs) return reset_both(flow, CloseReason::kGuestSilent);
    return start_timer(flow, flow.active_ns + kConnectNs);
  }
  if (now() - flow.active_ns >= kIdleNs) {
    if (flow.retries > kMaxRetries) return reset_both(flow, CloseReason::kIdle);
    // A keepalive probe (RFC 9293, 3.8.4) to either side; an answer counts as activity.
    if (!flow.keepalive_on && flow.fd >= 0) {
      const int on = 1;
      ::setsockopt(flow.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
      flow.keepalive_on = true;
    }
    ++flow.retries;
    [[maybe_unused]] const bool sent = send_control(flow, flow.snd_una - 1, kTcpAck);
    start_timer(flow, now() + kMaxRetransmitNs);
  } else {
    start_timer(flow, flow.active_ns + kIdleNs);
  }
  if (flow.retransmit_ns != 0) start_timer(flow, flow.retransmit_ns);
}

// Nothing was acknowledged for a time-out: send the first outstanding frame again, or ask for the window.
void Tcp::retransmit_timeout(TcpFlow& flow) {
  const bool outstanding = flow.snd_una != flow.snd_max;
  // Not where only a share of the pool was waited for.
  if (outstanding || flow.snd_wnd == 0) ++flow.retries;
  if (flow.retries > kMaxRetries) return reset_both(flow, CloseReason::kGuestSilent);
  // The peer is gone, and for a time-out the guest has shut its window to what it said last. A guest that
  // writes all the while would wait for room for ever: nobody will take what it has sent.
  if (flow.host_error && flow.snd_wnd == 0 && !flow.overflow.empty()) {
    return reset_both(flow, CloseReason::kHostReset);
  }
  const unsigned doublings = std::min(flow.retries, kMaxDoublings);
  flow.retransmit_ns = now() + std::min(kRetransmitNs << doublings, kMaxRetransmitNs);
  start_timer(flow, flow.retransmit_ns);
  if (flow.state == TcpFlow::State::kSynReceived || flow.state == TcpFlow::State::kSynSent) {
    flow.syn_ack_due = true;
  } else if (outstanding && flow.snd_wnd != 0) {
    rewind(flow);
  } else if (flow.snd_wnd == 0) {
    // A zero-window probe: an old sequence number, which the guest must answer (RFC 9293, 3.8.6.1).
    [[maybe_unused]] const bool sent = send_control(flow, flow.snd_una - 1, kTcpAck);
  }
  mark_dirty(flow);
}

void Tcp::count(DropReason reason, std::size_t bytes) {
  count_drop(counters_, reason, bytes);
}

}  // namespace glassbox::net
