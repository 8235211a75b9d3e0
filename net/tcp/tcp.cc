// Theory of operation
//
// Problem. The guest's TCP ends here, and a host socket stands for its peer. The kernel does TCP with the
// outside; this code does TCP only with a guest that is a memory copy away. So it needs no congestion control
// and no round-trip estimates, but every rule that keeps two byte streams intact.
//
// Parts. A flow (tcp_flow.h) has three: `send` and `receive` hold the rules of the two streams and are pure
// (tcp_send.h, tcp_receive.h); `host` is the socket (tcp_host.h). Tcp moves the bytes between them, keeps the
// flows that have something to send in a list, and runs the timers.
//
// Life of a flow. A SYN makes a flow and a non-blocking connect(); the SYN-ACK goes out when the host is
// connected, a reset when it is refused (tcp_connect.cc). A connection to a published port makes a flow and a
// SYN to the guest (tcp_publish.cc). Payload of the guest goes to the socket from guest memory within
// on_segment() (tcp_input.cc). All other news (payload taken, acknowledgement, socket readable) marks the
// flow dirty. flush() then visits each dirty flow once (tcp_output.cc): it reads from the socket straight
// into the guest's receive buffers (tcp_read.cc), and every frame carries the newest acknowledgement and
// window. An ACK without payload is sent only if no frame carried one, and for a short request to a local
// server only if the reply is late (ack_hold.h).
//
// The host socket is registered once, edge-triggered; `readable` remembers the edge until a read comes up
// short. A short read after EPOLLRDHUP is the end of the stream, so the FIN goes out with the last payload.
//
// Sockets are the buffers. Bulk data for the guest is read with MSG_PEEK at SO_PEEK_OFF and discarded when
// the guest acknowledges it. The first kilobytes are read for good and copied instead, which is cheaper than
// the extra system calls, and most flows are no longer than that. Without SO_PEEK_OFF all data is copied, up
// to a bound. Towards the host, bytes that the socket does not take at once wait in bounded memory
// (`overflow`): a segment dropped here would cost the guest a retransmission time-out. The window stays shut
// until they are gone and then follows the room in the socket.
//
// What can go wrong. Without receive buffers the dirty flows wait for on_rx_space(). A guest that stops
// acknowledging is given up after kMaxRetries intervals. A socket that breaks is read to its end first, then
// the guest gets a reset. Memory is bounded by fixed tables and one pool.
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
  flow.host.take_events(events);
  if (flow.state == TcpFlow::State::kConnecting) return finish_connect(flow, events);
  if (events & EPOLLERR) flow.host.break_after_read();
  if ((events & EPOLLOUT) && !flow.receive.overflow.empty()) flush_overflow(flow);
  mark_dirty(flow);
}

void Tcp::flush() {
  if (machine_is_gone()) return;
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

// Both directions ended. The socket goes as soon as nothing more is to be read from it or written to it; the
// flow goes when the guest has acknowledged the FIN and has got the acknowledgement of its own.
void Tcp::finish_if_done(TcpFlow& flow) {
  if (!flow.receive.fin() || !flow.send.ends() || !flow.receive.overflow.empty()) return;
  if (flow.host.fd >= 0 && flow.send.socket_is_drained()) close_socket(flow, false);
  if (flow.host.fd < 0 && flow.send.fin_was_acknowledged() && !flow.receive.ack_due()) {
    close_flow(flow, CloseReason::kFinished);
  }
}

void Tcp::close_socket(TcpFlow& flow, bool reset) {
  TcpHost& host = flow.host;
  if (host.fd < 0) return;
  loop_.remove_closing(host.fd);
  const bool carries_fin = !reset && flow.receive.fin() && !host.shut;
  const Closing closing{host.fd, reset, carries_fin, flow.id, flow.receive.next() - 1};
  host.fd = -1;
  host.shut = true;
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
  // A socket whose peer is gone or never came needs no reset; other early ends must not look like a FIN. A
  // guest that had ended its stream before it fell silent gets the FIN that it asked for.
  const bool silent =
      reason == CloseReason::kGuestSilent || reason == CloseReason::kIdle || reason == CloseReason::kShutdown;
  const bool ended = flow.receive.fin() && flow.receive.overflow.empty();
  close_socket(flow, reason == CloseReason::kGuestReset || (silent && !ended));
  probe::flow_close(flow.id, static_cast<std::uint32_t>(reason), flow.send.bytes(), flow.receive.bytes());
  --counters_.flows_open;
  ++counters_.closed[static_cast<std::size_t>(reason)];
  counters_.bytes_in += flow.send.bytes();
  counters_.bytes_out += flow.receive.bytes();
  flow.send.stored.clear(pool_);
  flow.receive.overflow.clear(pool_);
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
    if (table_->at(hold->flow_index).receive.hold_ends_at(hold->due_ns)) {
      return timer == 0 ? hold->due_ns : std::min(timer, hold->due_ns);
    }
    holds_.pop_front();
  }
  return timer;
}

// No reply came in time to carry these acknowledgements: send them alone.
void Tcp::end_holds() {
  for (const AckHold::Entry* hold = holds_.front(); hold != nullptr && hold->due_ns <= now();
       hold = holds_.front()) {
    TcpFlow& flow = table_->at(hold->flow_index);
    if (flow.receive.hold_ends_at(hold->due_ns)) {
      flow.receive.hold_failed();
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
  RetransmitTimer& timer = flow.send.timer;
  flow.timer_ns = 0;
  if (machine_is_gone()) return;
  if (flow.state == TcpFlow::State::kConnecting) {
    if (now() - flow.active_ns >= kConnectNs) return connect_failed(flow, ETIMEDOUT);
    return start_timer(flow, flow.active_ns + kConnectNs);
  }
  if (timer.is_due(now())) {
    const std::uint64_t id = flow.id;
    retransmit_timeout(flow);
    if (flow.id != id) return;
  }
  if (flow.is_opening() && !timer.running()) {
    // The SYN or SYN-ACK never found a receive buffer, so there is nothing to repeat and count.
    if (now() - flow.active_ns >= kConnectNs) return reset_both(flow, CloseReason::kGuestSilent);
    return start_timer(flow, flow.active_ns + kConnectNs);
  }
  if (now() - flow.active_ns >= kIdleNs) {
    if (timer.exhausted()) return reset_both(flow, CloseReason::kIdle);
    // A keepalive probe (RFC 9293, 3.8.4) to either side; an answer counts as activity.
    flow.host.start_keepalive();
    timer.count_attempt();
    send_ack(flow, flow.send.una() - 1);
    start_timer(flow, now() + kMaxRetransmitNs);
  } else {
    start_timer(flow, flow.active_ns + kIdleNs);
  }
  if (timer.running()) start_timer(flow, timer.due_ns());
}

// The guest acknowledged nothing for an interval: repeat the first outstanding frame, or ask for the window.
void Tcp::retransmit_timeout(TcpFlow& flow) {
  TcpSend& send = flow.send;
  const bool shut = send.window() == 0;
  if (!send.time_out(now())) return reset_both(flow, CloseReason::kGuestSilent);
  // The peer is gone, and for a whole interval the guest has kept its window shut to the peer's last words. A
  // guest that writes all the while would wait for room for ever, since nothing will take what it has sent.
  if (flow.host.broken && shut && !flow.receive.overflow.empty()) {
    return reset_both(flow, CloseReason::kHostReset);
  }
  start_timer(flow, send.timer.due_ns());
  if (flow.is_opening()) {
    flow.syn_due = true;
  } else if (shut) {
    // A zero-window probe: an old sequence number, which the guest must answer (RFC 9293, 3.8.6.1).
    send_ack(flow, send.una() - 1);
  } else if (send.outstanding()) {
    send.rewind();
  }
  mark_dirty(flow);
}

void Tcp::count(DropReason reason, std::size_t bytes) {
  count_drop(counters_, reason, bytes);
}

}  // namespace glassbox::net
