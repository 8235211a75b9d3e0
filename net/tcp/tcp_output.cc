// What goes to the guest: payload from the host socket, acknowledgements, windows, FIN and retransmissions.
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

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
  if (flow.syn_ack_due && !send_syn_ack(flow)) return;
  if (flow.state == TcpFlow::State::kSynSent) return start_timer(flow, flow.retransmit_ns);
  while (send_next(flow)) {
  }
  if (flow.id != id) return;  // reset meanwhile
  if (flow.host_error && flow.host_eof && seq_gt(flow.snd_nxt, flow.eof_seq)) {
    return reset_both(flow, CloseReason::kHostReset);
  }
  if (flow.ack_due) [[maybe_unused]]
    const bool sent = send_control(flow, flow.snd_nxt, kTcpAck);
  if (flow.retransmit_ns != 0) start_timer(flow, flow.retransmit_ns);
  finish_if_done(flow);
}

// One frame; true if it is worth trying another. The flow is gone afterwards if its id changed.
bool Tcp::send_next(TcpFlow& flow) {
  const std::uint32_t in_flight = flow.snd_nxt - flow.snd_una;
  if (rx_full_ || (flow.one_frame && in_flight != 0)) return false;
  if (flow.host_eof && flow.snd_nxt == flow.eof_seq) {
    if (!send_control(flow, flow.snd_nxt, kTcpFin | kTcpAck)) return false;
    ++flow.snd_nxt;
    flow.snd_max = seq_max(flow.snd_max, flow.snd_nxt);
    if (flow.retransmit_ns == 0) flow.retransmit_ns = now() + kRetransmitNs;
    return false;
  }
  if (flow.host_eof && seq_gt(flow.snd_nxt, flow.eof_seq)) return false;
  const bool stored = seq_lt(flow.snd_nxt, flow.sock_seq);
  const bool again = seq_lt(flow.snd_nxt, flow.snd_max);
  if (!stored && !again && !flow.readable) return false;

  const std::uint32_t window = flow.snd_wnd > in_flight ? flow.snd_wnd - in_flight : 0;
  if (window == 0 || (window < flow.mss && in_flight != 0)) {
    // Nothing outstanding: nobody but a probe would ever learn that a window update was lost.
    if (flow.retransmit_ns == 0) flow.retransmit_ns = now() + kRetransmitNs;
    return false;
  }
  const std::size_t most = std::min<std::size_t>(window, link_.max_tcp_payload(flow.key, flow.mss));
  return stored ? send_stored(flow, most) : send_from_socket(flow, most);
}

bool Tcp::begin_frame(TcpFlow& flow, std::size_t max_bytes) {
  if (link_.begin_tcp(flow.key.guest, max_bytes)) return true;
  if (max_bytes > flow.mss && link_.begin_tcp(flow.key.guest, flow.mss)) return true;
  rx_full_ = true;
  mark_dirty(flow);
  return false;
}

void Tcp::finish_frame(TcpFlow& flow, std::size_t bytes) {
  const Seq end = flow.snd_nxt + static_cast<std::uint32_t>(bytes);
  const bool last = flow.host_eof && end == flow.eof_seq;
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = flow.snd_nxt;
  segment.ack = flow.rcv_nxt;
  segment.flags = static_cast<std::uint8_t>(kTcpAck | kTcpPsh | (last ? kTcpFin : 0));
  segment.window = offer_window(flow);
  segment.mss = flow.mss;
  link_.finish_tcp(segment, bytes);
  if (seq_lt(flow.snd_nxt, flow.snd_max)) ++counters_.retransmissions;
  flow.snd_nxt = last ? end + 1 : end;
  if (seq_gt(end, flow.snd_max)) {
    flow.bytes_in += end - flow.snd_max;
    if (flow.local && flow.asked_ns != 0) holds_.learn(now() - flow.asked_ns);
    flow.asked_ns = 0;
  }
  flow.snd_max = seq_max(flow.snd_max, flow.snd_nxt);
  carried_ack(flow);
  if (flow.retransmit_ns == 0) flow.retransmit_ns = now() + kRetransmitNs;
}

// A segment that is on its way carries the newest acknowledgement.
void Tcp::carried_ack(TcpFlow& flow) {
  flow.ack_due = false;
  flow.ack_by_ns = 0;
  flow.acked = flow.rcv_nxt;
}

bool Tcp::send_stored(TcpFlow& flow, std::size_t max_bytes) {
  const std::size_t offset = flow.snd_nxt - flow.snd_una;
  max_bytes = std::min<std::size_t>(max_bytes, flow.sock_seq - flow.snd_nxt);
  if (!begin_frame(flow, max_bytes)) return false;
  std::size_t done = 0;
  const std::size_t room = link_.payload().bytes();
  for (const iovec& to : link_.payload().span()) {
    std::size_t at = 0;
    while (at < to.iov_len) {
      std::array<iovec, 1> from;
      if (flow.stored.view(pool_, offset + done, to.iov_len - at, from) == 0) break;
      std::memcpy(static_cast<std::uint8_t*>(to.iov_base) + at, from[0].iov_base, from[0].iov_len);
      at += from[0].iov_len;
      done += from[0].iov_len;
    }
  }
  finish_frame(flow, std::min(done, room));
  return true;
}

// Reads from the host socket into the guest's buffers. Either for good, with a copy kept, or by peeking.
bool Tcp::send_from_socket(TcpFlow& flow, std::size_t max_bytes) {
  bool peek = flow.sock_seq != flow.snd_nxt || seq_lt(flow.snd_nxt, flow.snd_max) || flow.bulk;
  if (!peek) {
    const std::size_t limit = can_peek_ ? kStoredWithPeek : kStoredWithoutPeek;
    const std::size_t chunk = ChunkPool::kChunkBytes;
    const std::size_t kept = flow.stored.size();
    std::size_t room = std::min(kept < limit ? limit - kept : 0, pool_.free_bytes());
    if (room < std::min(max_bytes, chunk)) {
      if (can_peek_) {
        peek = flow.bulk = true;
      } else {
        // Acknowledgements free our share; if it is others who hold the pool, look again later.
        if (kept == 0) flow.retransmit_ns = now() + kPoolRetryNs;
        return false;
      }
    } else {
      max_bytes = std::min(max_bytes, room);
    }
  }
  if (!begin_frame(flow, max_bytes)) return false;
  if (peek && !set_peek_offset(flow)) {
    link_.cancel();
    reset_both(flow, CloseReason::kHostError);
    return false;
  }
  const std::size_t asked = link_.payload().bytes();
  const std::ptrdiff_t got = receive(flow, peek);
  if (got <= 0) {
    link_.cancel();
    flow.readable = false;
    // Bytes that were sent before and not acknowledged must still be there.
    const bool vanished = seq_lt(flow.snd_nxt, flow.snd_max);
    if (flow.host_error || vanished || (got < 0 && got != -EAGAIN && got != -EINTR)) {
      reset_both(flow, CloseReason::kHostReset);
      return false;
    }
    if (got != 0) return false;
    flow.host_eof = true;
    flow.eof_seq = flow.snd_nxt;
    if (flow.sock_seq == flow.eof_seq) flow.bulk = false;
    return true;
  }
  const auto bytes = static_cast<std::size_t>(got);
  if (peek) {
    flow.peek_at = flow.snd_nxt + static_cast<std::uint32_t>(bytes);
  } else {
    flow.stored.append(pool_, link_.payload().span(), bytes);
    flow.sock_seq += static_cast<std::uint32_t>(bytes);
    flow.peek_at = seq_max(flow.peek_at, flow.sock_seq);
  }
  if (bytes < asked && !flow.urgent && !flow.host_error) {
    flow.readable = false;
    if (flow.peer_closed) {
      flow.host_eof = true;
      flow.eof_seq = flow.snd_nxt + static_cast<std::uint32_t>(bytes);
    }
  }
  finish_frame(flow, bytes);
  return true;
}

std::ptrdiff_t Tcp::receive(TcpFlow& flow, bool peek) {
  msghdr message{};
  message.msg_iov = link_.payload().span().data();
  message.msg_iovlen = link_.payload().span().size();
  const ssize_t got = ::recvmsg(flow.fd, &message, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
  const auto result = got < 0 ? -static_cast<std::ptrdiff_t>(errno) : got;
  probe::host_recv(flow.id, flow.snd_nxt, static_cast<std::uint32_t>(link_.payload().bytes()),
                   static_cast<std::int32_t>(result));
  return result;
}

// Where the next peek shall read. The kernel moves its offset along with peeks and discards, so this is a
// system call only at the first peek and after a rewind.
bool Tcp::set_peek_offset(TcpFlow& flow) {
  if (flow.peek_on && flow.peek_at == flow.snd_nxt) return true;
  const auto offset = static_cast<int>(flow.snd_nxt - flow.sock_seq);
  if (::setsockopt(flow.fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) != 0) return false;
  flow.peek_on = true;
  flow.peek_at = flow.snd_nxt;
  return true;
}

// Takes acknowledged bytes out of the host socket; in batches, since it is a system call and nobody waits for
// it.
void Tcp::discard_acknowledged(TcpFlow& flow) {
  const Seq end = flow.host_eof ? seq_min(flow.snd_una, flow.eof_seq) : flow.snd_una;
  if (!seq_gt(end, flow.sock_seq) || flow.fd < 0) return;
  const bool all = flow.snd_una == flow.snd_max;
  if (end - flow.sock_seq < kDiscardBatch && !all) return;
  // One call, but for urgent data: a read ends before it (tcp(7)). What would be left behind nobody would
  // ever ask for again once all is acknowledged, and the socket would never be empty.
  while (seq_gt(end, flow.sock_seq)) {
    const ssize_t gone = ::recv(flow.fd, nullptr, end - flow.sock_seq, MSG_TRUNC | MSG_DONTWAIT);
    if (gone <= 0) {
      flow.host_error = flow.readable = true;  // bytes that were there cannot vanish from a sound socket
      return;
    }
    flow.sock_seq += static_cast<std::uint32_t>(gone);
  }
  flow.peek_at = seq_max(flow.peek_at, flow.sock_seq);
  if (all && !flow.readable) flow.bulk = false;
}

// Everything unacknowledged is to be sent again, the first frame alone.
void Tcp::rewind(TcpFlow& flow) {
  flow.snd_nxt = flow.snd_una;
  flow.recover = flow.snd_max;
  flow.one_frame = true;
  flow.duplicate_acks = 0;
}

// The first outstanding frame again, without disturbing what goes on behind it.
void Tcp::retransmit_first(TcpFlow& flow) {
  if (rx_full_ || flow.snd_wnd == 0) return;
  const std::uint64_t id = flow.id;
  const Seq next = flow.snd_nxt;
  flow.snd_nxt = flow.snd_una;
  if (flow.host_eof && flow.snd_nxt == flow.eof_seq) {
    if (send_control(flow, flow.snd_nxt, kTcpFin | kTcpAck)) ++counters_.retransmissions;
  } else {
    const bool stored = seq_lt(flow.snd_nxt, flow.sock_seq);
    const std::size_t most = std::min<std::size_t>(flow.mss, flow.snd_wnd);
    [[maybe_unused]] const bool sent = stored ? send_stored(flow, most) : send_from_socket(flow, most);
    if (flow.id != id) return;
  }
  flow.snd_nxt = next;
}

bool Tcp::send_syn_ack(TcpFlow& flow) {
  // MSS and, only if the guest offered it, window scale (RFC 7323, 1.3); padded with no-operation.
  std::array<std::uint8_t, 8> options = {2, 4, 0, 0, 1, 3, 3, kOurScale};
  store_be16(&options[2], link_.max_mss(flow.key));
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = flow.iss;
  segment.ack = flow.rcv_nxt;
  segment.flags = kTcpSyn | kTcpAck;
  if (flow.state == TcpFlow::State::kSynSent) segment.flags = kTcpSyn;
  segment.options = std::span(options).first(flow.scale_ok ? 8 : 4);
  segment.expects_bare_ack = flow.state == TcpFlow::State::kSynReceived && bare_acks_.expected();
  // The window of a SYN or SYN-ACK is never scaled.
  flow.rcv_edge = seq_max(flow.rcv_edge, flow.rcv_nxt + std::min(window_limit(flow), kSmallWindow));
  segment.window = static_cast<std::uint16_t>(std::min(flow.rcv_edge - flow.rcv_nxt, kSmallWindow));
  if (!link_.send_tcp(segment)) {
    rx_full_ = true;
    mark_dirty(flow);
    return false;
  }
  flow.syn_ack_due = false;
  flow.retransmit_ns = now() + (kRetransmitNs << std::min<unsigned>(flow.retries, 4));
  if (flow.state == TcpFlow::State::kSynSent) return true;
  probe::syn_ack_queued(flow.id, flow.key.guest_port, flow.key.dst_port, flow.immediate ? 1 : 0);
  return true;
}

// A segment without payload: acknowledgement, FIN or probe.
bool Tcp::send_control(TcpFlow& flow, Seq seq, std::uint8_t flags) {
  TcpSegment segment;
  segment.key = &flow.key;
  segment.flow = flow.id;
  segment.seq = seq;
  segment.ack = flow.rcv_nxt;
  segment.flags = flags;
  segment.window = offer_window(flow);
  // The guest's stream has ended and all of it has arrived: it waits for nothing that this acknowledgement
  // could set going.
  segment.awaited = flags != kTcpAck || !flow.guest_fin || !flow.overflow.empty();
  // The other FIN: all that is left for it to say is that this one came.
  segment.expects_bare_ack = (flags & kTcpFin) != 0 && flow.guest_fin;
  if (link_.send_tcp(segment)) {
    carried_ack(flow);
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
  segment.seq = flow.snd_nxt;
  segment.ack = flow.rcv_nxt;
  segment.flags = kTcpRst | kTcpAck;
  // Lost for want of buffers, the guest's next segment meets no flow and is answered by a reset again.
  if (!link_.send_tcp(segment)) count(DropReason::kNoReceiveBuffer, 0);
}

// The least window worth offering. One below the guest's segment size stalls it: with nothing outstanding its
// TCP waits for its persist timer rather than send less (RFC 9293, 3.8.6.2.1). Two segments cover what the
// scale rounds off.
std::uint32_t Tcp::small_window(const TcpFlow& flow) const {
  return flow.scale_ok ? std::max(kSmallWindow, 2U * link_.max_mss(flow.key)) : kSmallWindow;
}

std::uint32_t Tcp::window_limit(const TcpFlow& flow) const {
  const bool scarce = pool_.free_bytes() < pool_.total_bytes() / 2;
  return flow.scale_ok && !scarce ? kWindow : small_window(flow);
}

// Moves the right edge of the window as far as we are willing, never back (RFC 9293, 3.8.6), and returns the
// window as it goes on the wire. While bytes wait for the socket the edge stands still. After that it follows
// the room in the socket, with a floor that makes the guest fill the socket and so brings its EPOLLOUT.
std::uint16_t Tcp::offer_window(TcpFlow& flow) {
  const std::uint32_t limit = window_limit(flow);
  const std::uint32_t open = flow.rcv_edge - flow.rcv_nxt;
  if (flow.overflow.empty() && !flow.guest_fin) {
    std::uint32_t wanted = limit;
    const std::uint32_t segment = link_.max_mss(flow.key) + (1U << flow.rcv_scale);  // as above
    if (flow.congested && open < std::max(limit / 4, segment) && flow.fd >= 0) {
      std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
      socklen_t length = sizeof(info);
      ::getsockopt(flow.fd, SOL_SOCKET, SO_MEMINFO, info.data(), &length);
      const std::uint32_t used = info[SK_MEMINFO_WMEM_QUEUED];
      const std::uint32_t size = info[SK_MEMINFO_SNDBUF];
      wanted = used < size ? (size - used) / 2 : 0;
      if (wanted >= limit) flow.congested = false;
      wanted = std::clamp(wanted, small_window(flow), limit);
    } else if (flow.congested) {
      wanted = open;
    }
    flow.rcv_edge = seq_max(flow.rcv_edge, flow.rcv_nxt + wanted);
  }
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>((flow.rcv_edge - flow.rcv_nxt) >> flow.rcv_scale, 65535));
}

}  // namespace glassbox::net
