// Segments from the guest (RFC 9293, 3.10.7.4; RFC 5961 for resets and SYNs), and their payload to the host.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "bpf/probes.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {
namespace {

constexpr std::uint32_t kEventsAndWritable = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLOUT | EPOLLET;
constexpr std::uint8_t kFastRetransmit = 3;  // duplicate acknowledgements (RFC 5681, 3.2)
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
    if (header.seq == flow.rcv_nxt) {
      close_flow(flow, CloseReason::kGuestReset);
      return false;
    }
    count(DropReason::kBadReset, 0);
    if (seq_gt(header.seq, flow.rcv_nxt) && seq_lt(header.seq, flow.rcv_edge)) {
      flow.ack_due = true;  // the challenge of RFC 5961, 3.2
      mark_dirty(flow);
    }
    return false;
  }
  if (header.has(kTcpSyn)) {
    if (flow.state == TcpFlow::State::kSynReceived && header.seq == flow.irs) {
      count(DropReason::kDuplicate, 0);
      flow.syn_ack_due = true;
    } else {
      count(DropReason::kUnexpectedSyn, 0);
      flow.ack_due = true;  // RFC 5961, 4.2
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
  if (flow.state == TcpFlow::State::kSynReceived) {
    const bool sent = flow.retransmit_ns != 0;  // our SYN-ACK; before that nothing can acknowledge it
    if (!sent || !seq_gt(header.ack, flow.iss) || seq_gt(header.ack, flow.snd_max)) {
      no_flow(header, 0);  // answered by a reset; the flow stays (RFC 9293, 3.10.7.4, fifth)
      return false;
    }
    flow.state = TcpFlow::State::kOpen;
    bare_acks_.saw(!has_payload && !header.has(kTcpFin));
    flow.syn_ack_due = false;  // a repeated SYN came just before
    flow.snd_una = flow.iss + 1;
    flow.retries = 0;
    flow.retransmit_ns = flow.snd_una == flow.snd_max ? 0 : now() + kRetransmitNs;
  }
  if (seq_gt(header.ack, flow.snd_max)) {
    count(DropReason::kBadAck, 0);
    flow.ack_due = true;
    mark_dirty(flow);
    return false;
  }
  // A segment from outside the window proves nothing about the window (RFC 9293, 3.10.7.4).
  const bool acceptable = seq_le(header.seq, flow.rcv_edge);
  const std::uint32_t window = std::uint32_t{header.window} << flow.snd_scale;
  const bool same_window = window == flow.snd_wnd;
  // One that acknowledges anew is no old news whatever its sequence number (a retransmission): its window
  // must count, or the edge would move on by what it acknowledges.
  if (acceptable && seq_ge(header.ack, flow.snd_una) &&
      (seq_gt(header.ack, flow.snd_una) || seq_lt(flow.snd_wl1, header.seq) ||
       (flow.snd_wl1 == header.seq && seq_le(flow.snd_wl2, header.ack)))) {
    flow.snd_wnd = window;
    flow.snd_wl1 = header.seq;
    flow.snd_wl2 = header.ack;
  }
  if (seq_gt(header.ack, flow.snd_una)) {
    acknowledge(flow, header.ack);
  } else if (header.ack == flow.snd_una) {
    if (flow.snd_wnd == 0) {
      // The answer to a probe: however long the window is shut, a guest that answers is not silent (RFC 9293,
      // 3.8.6.1). The time between probes stays as long as it has grown.
      flow.retries = std::min(flow.retries, kMaxDoublings);
    } else if (flow.snd_una == flow.snd_max) {
      flow.retries = 0;
    } else if (!has_payload && same_window) {
      take_duplicate_ack(flow);
    }
  }
  return true;
}

void Tcp::acknowledge(TcpFlow& flow, Seq ack) {
  const Seq stored_end = seq_min(ack, flow.sock_seq);
  if (seq_gt(stored_end, flow.snd_una)) {
    flow.stored.drop_front(pool_, std::min<std::size_t>(stored_end - flow.snd_una, flow.stored.size()));
  }
  flow.snd_una = ack;
  flow.snd_nxt = seq_max(flow.snd_nxt, ack);
  flow.retries = 0;
  flow.one_frame = false;
  flow.duplicate_acks = 0;
  flow.retransmit_ns = ack == flow.snd_max ? 0 : now() + kRetransmitNs;
  discard_acknowledged(flow);
  // A partial acknowledgement while recovering: the next hole (RFC 6582, 3.2).
  if (seq_lt(ack, flow.recover) && flow.snd_nxt == flow.snd_max && ack != flow.snd_max) {
    retransmit_first(flow);
  }
}

void Tcp::take_duplicate_ack(TcpFlow& flow) {
  if (++flow.duplicate_acks != kFastRetransmit || seq_lt(flow.snd_una, flow.recover)) return;
  flow.recover = flow.snd_max;
  retransmit_first(flow);
}

// In-order delivery only: what comes after a gap is dropped, and the acknowledgement says what is missing.
void Tcp::take_payload(TcpFlow& flow, const TcpHeader& header, IovSlice& payload) {
  Seq seq = header.seq;
  bool fin = header.has(kTcpFin);
  const std::size_t bytes = payload.bytes();
  if (bytes == 0 && !fin) {
    if (seq != flow.rcv_nxt) flow.ack_due = true;  // a keepalive, or an old or stray acknowledgement
    return;
  }
  const bool only_this = !flow.ack_due;
  flow.ack_due = true;
  if (seq_gt(seq, flow.rcv_nxt)) {
    return count(seq_lt(seq, flow.rcv_edge) ? DropReason::kOutOfOrder : DropReason::kOutOfWindow, bytes);
  }
  const std::uint32_t seen = flow.rcv_nxt - seq;
  if (seen > bytes || (seen == bytes && !fin)) return count(DropReason::kDuplicate, bytes);
  payload.drop_front(seen);
  seq = flow.rcv_nxt;
  if (flow.guest_fin) return count(DropReason::kOutOfWindow, bytes);  // nothing may follow a FIN

  const std::uint32_t room = flow.rcv_edge - seq;
  if (payload.bytes() > room) {
    payload.truncate(room);
    fin = false;
    count(DropReason::kOutOfWindow, bytes);
  }
  const std::size_t wanted = payload.bytes();
  if (wanted != 0) deliver(flow, payload);
  if (fin && flow.rcv_nxt == seq + wanted) {
    flow.guest_fin = true;
    ++flow.rcv_nxt;
    // A FIN right at the edge lies beyond it. The window ends where the guest's stream does: with an edge
    // behind rcv_nxt all that follows would count as outside, the guest's own window with it.
    flow.rcv_edge = seq_max(flow.rcv_edge, flow.rcv_nxt);
    shut_host_if_due(flow);
  } else if (only_this && flow.rcv_nxt == seq + bytes - seen) {
    hold_ack(flow);
  }
}

// The acknowledgement is due; a reply may be about to carry it.
void Tcp::hold_ack(TcpFlow& flow) {
  const std::uint32_t most = std::min<std::uint32_t>(flow.mss, AckHold::kMaxBytes);
  const bool short_request = flow.rcv_nxt - flow.acked < most && flow.overflow.empty();
  if (!flow.local || flow.hold_failed || flow.host_error || !short_request) return;
  if (flow.ack_by_ns == 0) flow.ack_by_ns = holds_.begin(flow.index, now());
  flow.ack_due = flow.ack_by_ns == 0;
}

// To the socket, and what it does not take to the overflow queue; rcv_nxt moves by what was kept.
void Tcp::deliver(TcpFlow& flow, IovSlice& payload) {
  const std::size_t bytes = payload.bytes();
  std::size_t taken = 0;
  if (flow.overflow.empty() && !flow.host_error) {
    // The first send cannot be held back, since nothing is outstanding; later ones must not be (RFC
    // 1122, 4.2.3.4: the guest's own TCP has decided already).
    if (flow.sent_once && !flow.no_delay) {
      const int on = 1;
      ::setsockopt(flow.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      flow.no_delay = true;
    }
    msghdr message{};
    message.msg_iov = payload.span().data();
    message.msg_iovlen = payload.span().size();
    const ssize_t sent = ::sendmsg(flow.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      probe::host_send(flow.id, flow.rcv_nxt, static_cast<std::uint32_t>(bytes),
                       static_cast<std::int32_t>(sent));
      taken = static_cast<std::size_t>(sent);
      flow.sent_once = true;
      if (flow.asked_ns == 0) flow.asked_ns = now();
      payload.drop_front(taken);
    } else {
      const int error = errno;
      probe::host_send(flow.id, flow.rcv_nxt, static_cast<std::uint32_t>(bytes), -error);
      if (error != EAGAIN && error != EINTR && error != ENOBUFS) flow.host_error = flow.readable = true;
    }
  }
  if (taken < bytes) {
    watch_writable(flow);
    const std::size_t kept = flow.overflow.append(pool_, payload.span(), payload.bytes());
    counters_.overflow_bytes += kept;
    if (taken + kept < bytes) count(DropReason::kNoBuffer, bytes - taken - kept);
    taken += kept;
  }
  flow.rcv_nxt += static_cast<std::uint32_t>(taken);
  flow.bytes_out += taken;
}

// Registered again at most once a flow: most never fill their socket, and without EPOLLOUT they are not woken
// for changes that nobody waits for. Modifying reports at once if the socket is writable by now.
void Tcp::watch_writable(TcpFlow& flow) {
  flow.congested = true;
  if (flow.watches_writable) return;
  flow.watches_writable = true;
  if (!loop_.modify(flow.fd, kEventsAndWritable, &flow)) flow.host_error = flow.readable = true;
}

void Tcp::flush_overflow(TcpFlow& flow) {
  std::array<iovec, kFlushPieces> pieces;
  while (!flow.overflow.empty()) {
    const Seq seq =
        flow.rcv_nxt - static_cast<std::uint32_t>(flow.overflow.size()) - (flow.guest_fin ? 1 : 0);
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = flow.overflow.view(pool_, 0, flow.overflow.size(), pieces);
    const std::size_t offered = iov_bytes(std::span(pieces).first(message.msg_iovlen));
    const ssize_t sent = ::sendmsg(flow.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    const int error = sent < 0 ? errno : 0;
    probe::host_send(flow.id, seq, static_cast<std::uint32_t>(offered),
                     sent < 0 ? -error : static_cast<std::int32_t>(sent));
    if (sent < 0) {
      if (error != EAGAIN && error != EINTR && error != ENOBUFS) flow.host_error = flow.readable = true;
      return;
    }
    flow.overflow.drop_front(pool_, static_cast<std::size_t>(sent));
    if (static_cast<std::size_t>(sent) < offered) return;
  }
  flow.ack_due = true;  // the window opens again
  shut_host_if_due(flow);
}

// Passes the guest's FIN on. Where the host's stream has ended as well, close() will do it.
void Tcp::shut_host_if_due(TcpFlow& flow) {
  if (!flow.guest_fin || flow.host_shut || !flow.overflow.empty() || flow.fd < 0) return;
  if (flow.host_eof && flow.sock_seq == flow.eof_seq) return;
  flow.host_shut = true;
  const int result = ::shutdown(flow.fd, SHUT_WR) == 0 ? 0 : -errno;
  probe::host_send(flow.id, flow.rcv_nxt - 1, 0, result);
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
