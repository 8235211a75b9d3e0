// Payload for the guest, out of the host socket or out of what is stored of it, straight into the guest's
// receive buffers.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "bpf/probes.h"
#include "net/tcp/tcp.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {

bool Tcp::send_stored(TcpFlow& flow, std::size_t max_bytes) {
  const std::size_t offset = flow.send.in_flight();
  max_bytes = std::min<std::size_t>(max_bytes, flow.send.stored_end() - flow.send.next());
  if (!begin_frame(flow, max_bytes)) return false;
  std::size_t done = 0;
  const std::size_t room = link_.payload().bytes();
  for (const iovec& to : link_.payload().span()) {
    std::size_t at = 0;
    while (at < to.iov_len) {
      std::array<iovec, 1> from;
      if (flow.send.stored.view(pool_, offset + done, to.iov_len - at, from) == 0) break;
      std::memcpy(static_cast<std::uint8_t*>(to.iov_base) + at, from[0].iov_base, from[0].iov_len);
      at += from[0].iov_len;
      done += from[0].iov_len;
    }
  }
  finish_frame(flow, std::min(done, room));
  return true;
}

// Whether the next read leaves the bytes in the socket (peek) or takes them out and stores a copy, which
// limits max_bytes. False if neither is possible: the guest's acknowledgements must make room first.
bool Tcp::choose_peek(TcpFlow& flow, std::size_t& max_bytes, bool& peek) {
  TcpSend& send = flow.send;
  peek = send.stored_end() != send.next() || send.repeats() || flow.host.keeps_data;
  if (peek) return true;
  const std::size_t limit = can_peek_ ? kStoredWithPeek : kStoredWithoutPeek;
  const std::size_t kept = send.stored.size();
  const std::size_t room = std::min(kept < limit ? limit - kept : 0, pool_.free_bytes());
  if (room >= std::min(max_bytes, ChunkPool::kChunkBytes)) {
    max_bytes = std::min(max_bytes, room);
    return true;
  }
  if (can_peek_) {
    peek = flow.host.keeps_data = true;
    return true;
  }
  // Acknowledgements free this flow's share. If other flows hold the pool, look again later.
  if (kept == 0) send.timer.start_for(now(), kPoolRetryNs);
  return false;
}

bool Tcp::send_from_socket(TcpFlow& flow, std::size_t max_bytes) {
  TcpSend& send = flow.send;
  TcpHost& host = flow.host;
  bool peek = false;
  if (!choose_peek(flow, max_bytes, peek) || !begin_frame(flow, max_bytes)) return false;
  if (peek && !host.set_peek_offset(send.next(), send.stored_end())) {
    link_.cancel();
    reset_both(flow, CloseReason::kHostError);
    return false;
  }
  const std::size_t asked = link_.payload().bytes();
  const std::ptrdiff_t got = host.receive(link_.payload().span(), peek);
  probe::host_recv(flow.id, send.next(), static_cast<std::uint32_t>(asked), static_cast<std::int32_t>(got));
  if (got <= 0) return take_end(flow, got);
  const auto bytes = static_cast<std::uint32_t>(got);
  if (peek) {
    host.peek_at = send.next() + bytes;
  } else {
    send.stored.append(pool_, link_.payload().span(), bytes);
    send.taken_from_socket(bytes);
    host.peek_offset_at_least(send.stored_end());
  }
  if (bytes < asked && !host.urgent && !host.broken) {
    host.readable = false;
    if (host.peer_closed) send.end_at(send.next() + bytes);
  }
  finish_frame(flow, bytes);
  return true;
}

// Nothing was read: the socket is empty, at its end (got 0) or broken (-errno).
bool Tcp::take_end(TcpFlow& flow, std::ptrdiff_t got) {
  link_.cancel();
  flow.host.readable = false;
  // Bytes that were sent before and not acknowledged must still be there.
  const bool vanished = flow.send.repeats();
  if (flow.host.broken || vanished || (got < 0 && got != -EAGAIN && got != -EINTR)) {
    reset_both(flow, CloseReason::kHostReset);
    return false;
  }
  if (got != 0) return false;
  flow.send.end_at(flow.send.next());
  if (flow.send.socket_is_drained()) flow.host.keeps_data = false;
  return true;
}

// Takes acknowledged bytes out of the host socket. In batches: it is a system call, and nothing waits for it.
void Tcp::discard_acknowledged(TcpFlow& flow) {
  TcpSend& send = flow.send;
  const Seq end = send.ends() ? seq_min(send.una(), send.end()) : send.una();
  if (!seq_gt(end, send.stored_end()) || flow.host.fd < 0) return;
  const bool all = !send.outstanding();
  if (end - send.stored_end() < kDiscardBatch && !all) return;
  // One call, except around urgent data. All of it must go: once everything is acknowledged nothing would
  // ever ask for a rest again, and the socket would never be empty.
  while (seq_gt(end, send.stored_end())) {
    const std::ptrdiff_t gone = flow.host.discard(end - send.stored_end());
    if (gone <= 0) return flow.host.break_after_read();  // bytes cannot vanish from a sound socket
    send.taken_from_socket(static_cast<std::uint32_t>(gone));
  }
  flow.host.peek_offset_at_least(send.stored_end());
  if (all && !flow.host.readable) flow.host.keeps_data = false;
}

}  // namespace glassbox::net
