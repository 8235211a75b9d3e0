// Segments from the guest (RFC 9293, 3.10.7.4; RFC 5961 for resets and SYNs), and their payload to the host.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "bpf/probes.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kEventsAndWritable = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLOUT | EPOLLET;
constexpr std::size_t kFlushPieces = 64;

}  // namespace

std::uint64_t Tcp::on_segment(const TcpHeader& header, IovSlice& payload) {
  TcpFlow* found = table_->find(header.key);
  if (found == nullptr) {
    if (header.has(kTcpSyn) && !header.has(kTcpAck | kTcpRst)) return open_flow(header);
    no_flow(header, payload.bytes());
    return 0;
  }
  TcpFlow& flow = *found;
  const std::uint64_t id = flow.id;
  if (flow.state == TcpFlow::State::kConnecting) {
    while_connecting(flow, header);
    return id;
  }
  flow.active_ns = now();
  if (flow.state == TcpFlow::State::kSynSent) {
    while_syn_sent(flow, header);
    return id;
  }
  if (!check_control(flow, header)) return id;
  if (!take_ack(flow, header, payload.bytes() != 0 || header.has(kTcpFin))) return id;
  take_payload(flow, header, payload);
  mark_dirty(flow);
  return id;
}

// Resets and SYNs. False when the segment is done with; the flow may be gone then.
bool Tcp::check_control(TcpFlow& flow, const TcpHeader& header) {
  if (header.has(kTcpRst)) {
    if (header.seq == flow.receive.next()) {
      close_flow(flow, CloseReason::kGuestReset);
      return false;
    }
    count(DropReason::kBadReset, 0);
    if (flow.receive.is_within_window(header.seq)) {
      flow.receive.require_ack();  // the challenge of RFC 5961, 3.2
      mark_dirty(flow);
    }
    return false;
  }
  if (header.has(kTcpSyn)) {
    if (flow.state == TcpFlow::State::kSynReceived && header.seq == flow.receive.initial()) {
      count(DropReason::kDuplicate, 0);
      flow.syn_due = true;
    } else {
      count(DropReason::kUnexpectedSyn, 0);
      flow.receive.require_ack();  // RFC 5961, 4.2
    }
    mark_dirty(flow);
    return false;
  }
  return true;
}

// The acknowledgement and the window. False if the segment must not be looked at further.
bool Tcp::take_ack(TcpFlow& flow, const TcpHeader& header, bool has_payload) {
  if (!header.has(kTcpAck)) {
    count(DropReason::kBadAck, 0);
    return false;
  }
  TcpSend& send = flow.send;
  if (flow.state == TcpFlow::State::kSynReceived && !take_ack_of_syn(flow, header, has_payload)) return false;
  if (seq_gt(header.ack, send.max())) {
    count(DropReason::kBadAck, 0);
    flow.receive.require_ack();
    mark_dirty(flow);
    return false;
  }
  const bool same_window = send.same_window(header.window);
  // A segment from outside the window proves nothing about the window (RFC 9293, 3.10.7.4).
  if (flow.receive.is_acceptable(header.seq)) send.take_window(header.seq, header.ack, header.window);
  if (seq_gt(header.ack, send.una())) {
    acknowledge(flow, header.ack);
  } else if (header.ack == send.una()) {
    if (send.window() == 0) {
      send.timer.keep_probing();
    } else if (!send.outstanding()) {
      send.timer.forget_attempts();
    } else if (!has_payload && same_window && send.is_loss_after_duplicate()) {
      repeat_first(flow);
    }
  }
  return true;
}

// The segment that ends the handshake. False if it is answered by a reset; the flow stays (RFC 9293,
// 3.10.7.4, fifth).
bool Tcp::take_ack_of_syn(TcpFlow& flow, const TcpHeader& header, bool has_payload) {
  if (!flow.send.is_ack_of_syn(header.ack)) {
    no_flow(header, 0);
    return false;
  }
  flow.state = TcpFlow::State::kOpen;
  bare_acks_.saw(!has_payload && !header.has(kTcpFin));
  flow.syn_due = false;  // a repeated SYN came just before
  flow.send.open(now());
  return true;
}

void Tcp::acknowledge(TcpFlow& flow, Seq ack) {
  flow.send.acknowledge(pool_, ack, now());
  discard_acknowledged(flow);
  if (flow.send.has_hole()) repeat_first(flow);
}

void Tcp::take_payload(TcpFlow& flow, const TcpHeader& header, IovSlice& payload) {
  TcpReceive& receive = flow.receive;
  const std::size_t bytes = payload.bytes();
  if (bytes == 0 && !header.has(kTcpFin)) {
    if (header.seq != receive.next())
      receive.require_ack();  // a keepalive, or an old or stray acknowledgement
    return;
  }
  const bool only_this = !receive.ack_due();
  receive.require_ack();
  const TcpReceive::Part part = receive.part_of(header.seq, bytes, header.has(kTcpFin));
  if (part.drop != DropReason::kNone) count(part.drop, bytes);
  payload.drop_front(part.skip);
  payload.truncate(part.bytes);
  const Seq end = receive.next() + part.bytes;
  if (part.bytes != 0) deliver(flow, payload);
  if (receive.next() != end) return;  // what could not be kept comes again
  if (part.fin) {
    receive.took_fin();
    shut_host_if_due(flow);
  } else if (only_this && part.drop == DropReason::kNone) {
    hold_ack(flow);
  }
}

// The acknowledgement is due; a reply may be about to carry it.
void Tcp::hold_ack(TcpFlow& flow) {
  TcpReceive& receive = flow.receive;
  if (!flow.host.local || flow.host.broken || !receive.may_hold_ack(flow.send.mss())) return;
  receive.hold_ack(holds_, flow.index, now());
}

// To the socket, and what it does not take to the overflow queue. receive.next() moves by what was kept.
void Tcp::deliver(TcpFlow& flow, IovSlice& payload) {
  TcpReceive& receive = flow.receive;
  TcpHost& host = flow.host;
  const std::size_t bytes = payload.bytes();
  std::size_t taken = 0;
  if (receive.overflow.empty() && !host.broken) {
    host.send_at_once();
    const std::ptrdiff_t sent = host.send(payload.span());
    probe::host_send(flow.id, receive.next(), static_cast<std::uint32_t>(bytes),
                     static_cast<std::int32_t>(sent));
    if (sent >= 0) {
      taken = static_cast<std::size_t>(sent);
      if (host.asked_ns == 0) host.asked_ns = now();
      payload.drop_front(taken);
    }
  }
  if (taken < bytes) {
    watch_writable(flow);
    const std::size_t kept = receive.overflow.append(pool_, payload.span(), payload.bytes());
    counters_.overflow_bytes += kept;
    if (taken + kept < bytes) count(DropReason::kNoBuffer, bytes - taken - kept);
    taken += kept;
  }
  receive.took(taken);
}

// Registered again at most once a flow. Most flows never fill their socket, and without EPOLLOUT no event
// reports room that nothing waits for. Modifying reports at once if the socket is writable by now.
void Tcp::watch_writable(TcpFlow& flow) {
  flow.receive.follow_room();
  if (flow.host.watches_writable) return;
  flow.host.watches_writable = true;
  if (!loop_.modify(flow.host.fd, kEventsAndWritable, &flow)) flow.host.break_after_read();
}

void Tcp::flush_overflow(TcpFlow& flow) {
  ByteQueue& overflow = flow.receive.overflow;
  std::array<iovec, kFlushPieces> room;
  while (!overflow.empty()) {
    const Seq seq = flow.receive.overflow_begin();
    const auto pieces = std::span(room).first(overflow.view(pool_, 0, overflow.size(), room));
    const std::size_t offered = iov_bytes(pieces);
    const std::ptrdiff_t sent = flow.host.send(pieces);
    probe::host_send(flow.id, seq, static_cast<std::uint32_t>(offered), static_cast<std::int32_t>(sent));
    if (sent < 0) return;
    overflow.drop_front(pool_, static_cast<std::size_t>(sent));
    if (static_cast<std::size_t>(sent) < offered) return;
  }
  flow.receive.require_ack();  // the window opens again
  shut_host_if_due(flow);
}

// Passes the guest's FIN on. Where the host's stream has ended as well, close() will do it.
void Tcp::shut_host_if_due(TcpFlow& flow) {
  TcpHost& host = flow.host;
  if (!flow.receive.fin() || host.shut || !flow.receive.overflow.empty() || host.fd < 0) return;
  if (flow.send.socket_is_drained()) return;
  host.shut = true;
  const int result = ::shutdown(host.fd, SHUT_WR) == 0 ? 0 : -errno;
  probe::host_send(flow.id, flow.receive.next() - 1, 0, result);
}

// RFC 9293, 3.10.7.1: a reset that the sender of the segment will believe.
void Tcp::no_flow(const TcpHeader& header, std::size_t payload_bytes) {
  count(DropReason::kNoFlow, payload_bytes);
  if (header.has(kTcpRst)) return;
  TcpSegment reset{.key = &header.key, .flags = kTcpRst, .options = {}};
  if (header.has(kTcpAck)) {
    reset.seq = header.ack;
  } else {
    reset.flags |= kTcpAck;
    reset.ack = header.seq + static_cast<std::uint32_t>(payload_bytes) + (header.has(kTcpSyn) ? 1 : 0) +
                (header.has(kTcpFin) ? 1 : 0);
  }
  if (!link_.send_tcp(reset)) count(DropReason::kNoReceiveBuffer, 0);
}

}  // namespace glassbox::net
