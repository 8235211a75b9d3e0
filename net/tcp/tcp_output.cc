// Frames for the guest: payload, acknowledgements, windows, SYN, FIN, resets and repetitions.
#include <algorithm>
#include <array>

#include "bpf/probes.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {

// Everything this flow has to send, as far as window and receive buffers allow; then one acknowledgement if
// nothing has carried it.
void Tcp::output(TcpFlow& flow) {
  const std::uint64_t id = flow.id;
  if (flow.state == TcpFlow::State::kConnecting) return;
  if (flow.syn_due && !send_syn(flow)) return;
  if (flow.state == TcpFlow::State::kSynSent) return start_timer(flow, flow.send.timer.due_ns());
  while (send_next(flow)) {
  }
  if (flow.id != id) return;  // reset meanwhile
  if (flow.host.broken && flow.send.fin_was_sent()) return reset_both(flow, CloseReason::kHostReset);
  if (flow.receive.ack_due()) send_ack(flow, flow.send.next());
  if (flow.send.timer.running()) start_timer(flow, flow.send.timer.due_ns());
  finish_if_done(flow);
}

// One frame; true if it is worth trying another. The flow is gone afterwards if its id changed.
bool Tcp::send_next(TcpFlow& flow) {
  TcpSend& send = flow.send;
  if (rx_full_ || send.waits_for_ack()) return false;
  if (send.ends_at(send.next())) {
    if (!send_fin(flow)) return false;
    send.sent_fin();
    if (!send.timer.running()) send.timer.start(now());
    return false;
  }
  if (send.fin_was_sent()) return false;
  if (!send.next_is_stored() && !send.repeats() && !flow.host.readable) return false;
  const std::uint32_t window = send.usable_window();
  if (window == 0) {
    // With nothing outstanding, only a probe would find out that a window update was lost.
    if (!send.timer.running()) send.timer.start(now());
    return false;
  }
  return send_payload(flow, std::min<std::size_t>(window, link_.max_tcp_payload(flow.key, send.mss())));
}

// At most max_bytes from next() on, in one frame.
bool Tcp::send_payload(TcpFlow& flow, std::size_t max_bytes) {
  return flow.send.next_is_stored() ? send_stored(flow, max_bytes) : send_from_socket(flow, max_bytes);
}

bool Tcp::begin_frame(TcpFlow& flow, std::size_t max_bytes) {
  const std::uint16_t mss = flow.send.mss();
  if (link_.begin_tcp(flow.key.guest, max_bytes)) return true;
  if (max_bytes > mss && link_.begin_tcp(flow.key.guest, mss)) return true;
  rx_full_ = true;
  mark_dirty(flow);
  return false;
}

void Tcp::finish_frame(TcpFlow& flow, std::size_t bytes) {
  TcpSend& send = flow.send;
  const bool last = send.ends_at(send.next() + static_cast<std::uint32_t>(bytes));
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = send.next();
  segment.ack = flow.receive.next();
  segment.flags = static_cast<std::uint8_t>(kTcpAck | kTcpPsh | (last ? kTcpFin : 0));
  segment.window = offer_window(flow);
  segment.mss = send.mss();
  link_.finish_tcp(segment, bytes);
  if (send.repeats()) ++counters_.retransmissions;
  if (send.sent(static_cast<std::uint32_t>(bytes)) != 0) {
    if (flow.host.local && flow.host.asked_ns != 0) holds_.learn(now() - flow.host.asked_ns);
    flow.host.asked_ns = 0;
  }
  flow.receive.ack_sent();
  if (!send.timer.running()) send.timer.start(now());
}

// The first outstanding frame again, without disturbing what goes on behind it.
void Tcp::repeat_first(TcpFlow& flow) {
  TcpSend& send = flow.send;
  if (rx_full_ || send.window() == 0) return;
  const std::uint64_t id = flow.id;
  const Seq next = send.repeat_first();
  if (send.ends_at(send.next())) {
    if (send_fin(flow)) ++counters_.retransmissions;
  } else {
    send_payload(flow, std::min<std::size_t>(send.mss(), send.window()));
    if (flow.id != id) return;  // reset meanwhile
  }
  send.repeat_ended(next);
}

// The SYN-ACK, or the SYN of a connection to a published port.
bool Tcp::send_syn(TcpFlow& flow) {
  const bool opens = flow.state == TcpFlow::State::kSynSent;
  // MSS and, only if the guest offered it, window scale (RFC 7323, 1.3); padded with no-operation.
  std::array<std::uint8_t, 8> options = {2, 4, 0, 0, 1, 3, 3, kOurScale};
  store_be16(&options[2], link_.max_mss(flow.key));
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = flow.send.initial();
  segment.ack = flow.receive.next();
  segment.flags = static_cast<std::uint8_t>(opens ? kTcpSyn : kTcpSyn | kTcpAck);
  segment.options = std::span(options).first(flow.receive.scaled() ? 8 : 4);
  segment.expects_bare_ack = !opens && bare_acks_.expected();
  segment.window = flow.receive.offer_syn_window(segment_of(flow), memory_is_scarce());
  if (!link_.send_tcp(segment)) {
    rx_full_ = true;
    mark_dirty(flow);
    return false;
  }
  flow.syn_due = false;
  flow.send.timer.start_backed_off(now());
  if (opens) return true;
  probe::syn_ack_queued(flow.id, flow.key.guest_port, flow.key.dst_port, flow.immediate ? 1 : 0);
  return true;
}

// An acknowledgement, or with an old seq a probe that the guest must answer.
void Tcp::send_ack(TcpFlow& flow, Seq seq) {
  send_empty(flow, seq, kTcpAck);
}

bool Tcp::send_fin(TcpFlow& flow) {
  return send_empty(flow, flow.send.next(), kTcpFin | kTcpAck);
}

// A segment without payload. Without receive buffers the flow stays dirty, and an acknowledgement that is due
// stays due.
bool Tcp::send_empty(TcpFlow& flow, Seq seq, std::uint8_t flags) {
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = seq;
  segment.ack = flow.receive.next();
  segment.flags = flags;
  segment.window = offer_window(flow);
  // The guest's stream has ended and all of it has arrived: it waits for nothing that this acknowledgement
  // could set going.
  segment.awaited = flags != kTcpAck || !flow.receive.fin() || !flow.receive.overflow.empty();
  // The second FIN of the connection: all that is left for the guest to say is that it came.
  segment.expects_bare_ack = (flags & kTcpFin) != 0 && flow.receive.fin();
  if (link_.send_tcp(segment)) {
    flow.receive.ack_sent();
    return true;
  }
  rx_full_ = true;
  mark_dirty(flow);
  return false;
}

void Tcp::send_reset(TcpFlow& flow) {
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = flow.send.next();
  segment.ack = flow.receive.next();
  segment.flags = kTcpRst | kTcpAck;
  // Lost for want of buffers, the guest's next segment meets no flow and is answered by a reset again.
  if (!link_.send_tcp(segment)) count(DropReason::kNoReceiveBuffer, 0);
}

std::uint16_t Tcp::offer_window(TcpFlow& flow) {
  return flow.receive.offer_window(segment_of(flow), memory_is_scarce(),
                                   [&flow] { return flow.host.send_room(); });
}

}  // namespace glassbox::net
