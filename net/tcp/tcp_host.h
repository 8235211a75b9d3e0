// The host socket of one TCP flow, and what is known about it from its events and earlier calls.
//
// The socket is registered once, edge-triggered: `readable` remembers the edge until a read comes up short.
// Owns the descriptor only in so far as Tcp closes it (Tcp::close_socket()); -1 when there is none.
//
// Thread: the network thread. Each method that makes a system call says so.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "net/flow/seq.h"

namespace glassbox::net {

struct TcpHost {
  // Takes epoll's events (EPOLLIN, EPOLLRDHUP, EPOLLHUP, EPOLLPRI). A system call for urgent data only.
  void take_events(std::uint32_t events);
  // The socket is broken, or its peer has reset the connection: reset the flow once all that is readable was
  // read.
  void break_after_read() { broken = readable = true; }

  // One sendmsg(). Returns the bytes sent or -errno. A failure that does not pass by itself breaks the
  // socket.
  [[nodiscard]] std::ptrdiff_t send(std::span<iovec> pieces);
  // One recvmsg(), with MSG_PEEK if peek. Returns the bytes, 0 at the end of the stream, or -errno.
  [[nodiscard]] std::ptrdiff_t receive(std::span<iovec> into, bool peek) const;
  // Takes n bytes that were peeked at out of the socket. Returns how many are gone: fewer where urgent data
  // is, since a read ends before it (tcp(7)); 0 or less on failure. One recv().
  [[nodiscard]] std::ptrdiff_t discard(std::uint32_t n) const;
  // Makes the next peek read at `seq`; `first` is the first byte in the socket. The kernel moves its offset
  // along with peeks and discards, so this is a system call only at the first peek and after a rewind.
  [[nodiscard]] bool set_peek_offset(Seq seq, Seq first);
  // Follows what a read or a discard did to the offset.
  void peek_offset_at_least(Seq seq) { peek_at = seq_max(peek_at, seq); }

  // Switches Nagle's algorithm off from the second send on. The first send cannot be held back, since nothing
  // is outstanding; later ones must not be, since the guest's own TCP has decided already (RFC 1122,
  // 4.2.3.4). One setsockopt(), once.
  void send_at_once();
  // Asks the peer whether it is still there (SO_KEEPALIVE). One setsockopt(), once.
  void start_keepalive();
  // Free bytes of the send buffer, nothing if there is no socket. One getsockopt().
  [[nodiscard]] std::optional<std::uint32_t> send_room() const;

  int fd = -1;
  Seq peek_at = 0;             // where the kernel's peek offset stands
  std::uint64_t asked_ns = 0;  // when the guest sent what no reply has followed yet, 0 if there is nothing
  bool local = false;          // the server is on this host
  bool readable = false;       // there may be something to read
  bool peer_closed = false;    // EPOLLRDHUP: what is readable is all there will be
  bool broken = false;         // see break_after_read()
  bool urgent = false;         // a short read does not mean that the socket is empty
  bool shut = false;           // the guest's FIN was passed on
  bool watches_writable = false;
  bool keeps_data = false;     // data stays in the socket (SO_PEEK_OFF) instead of being read and stored
  std::uint8_t hop_limit = 0;  // of a guest that counts hops (net/host/hops.h), else 0

 private:
  bool peek_on_ = false;
  bool sent_once_ = false;
  bool no_delay_ = false;
  bool keepalive_on_ = false;
};

}  // namespace glassbox::net
