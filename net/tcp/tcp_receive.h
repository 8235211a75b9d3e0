// The stream from the guest: what has arrived, the window that it was offered, and the acknowledgement that
// it is owed (RFC 9293, 3.4, 3.8.6 and 3.10.7.4).
//
//   next        next byte expected; everything before it was taken
//   edge        right edge of the window last offered; never moves back (RFC 9293, 3.8.6)
//   overflow    bytes before next that the host socket has not taken yet
//
// Only data in order is taken. What comes after a gap is dropped, and the acknowledgement says what is
// missing.
//
// Pure: no clock and no socket. Sequence numbers wrap; all comparisons are those of net/flow/seq.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "bpf/reasons.h"
#include "net/flow/seq.h"
#include "net/tcp/ack_hold.h"
#include "net/tcp/byte_queue.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {

class TcpReceive {
 public:
  // What to take of a segment. With drop set and bytes not 0, what lies beyond the window is dropped.
  struct Part {
    DropReason drop = DropReason::kNone;
    std::uint32_t skip = 0;   // bytes at the front that were taken before
    std::uint32_t bytes = 0;  // to take after those
    bool fin = false;         // and then the FIN
  };

  // Takes the sequence number of the guest's SYN. scaled: it offers window scaling.
  void take_syn(Seq seq, bool scaled);
  // The NAT's own SYN offers window scaling; the guest's answer decides (take_syn).
  void offer_scaling() { scaled_ = true; }

  [[nodiscard]] Seq initial() const { return initial_; }
  [[nodiscard]] Seq next() const { return next_; }
  [[nodiscard]] Seq edge() const { return edge_; }
  [[nodiscard]] bool scaled() const { return scaled_; }
  [[nodiscard]] bool fin() const { return fin_; }               // the guest's FIN was taken
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // payload taken
  // Sequence number of the first byte in `overflow`.
  [[nodiscard]] Seq overflow_begin() const {
    return next_ - static_cast<std::uint32_t>(overflow.size()) - (fin_ ? 1 : 0);
  }

  // Only a segment that begins within the window, or before it, says something about the guest's own window.
  [[nodiscard]] bool is_acceptable(Seq seq) const { return seq_le(seq, edge_); }
  // A reset here is answered by a challenge, not believed (RFC 5961, 3.2).
  [[nodiscard]] bool is_within_window(Seq seq) const { return seq_gt(seq, next_) && seq_lt(seq, edge_); }
  // What to take of a segment that carries payload or a FIN.
  [[nodiscard]] Part part_of(Seq seq, std::size_t bytes, bool fin) const;
  void took(std::size_t bytes);
  void took_fin();

  // The acknowledgement.
  [[nodiscard]] bool ack_due() const { return ack_due_; }
  void require_ack() { ack_due_ = true; }
  // A segment that is on its way carries the newest acknowledgement.
  void ack_sent();
  // Whether a reply may carry the acknowledgement: what came since the last one is short, all of it is with
  // the host, and no hold of this flow has failed (net/tcp/ack_hold.h).
  [[nodiscard]] bool may_hold_ack(std::uint16_t mss) const;
  // Holds it if `holds` has room and expects a reply in time. A hold that is under way goes on.
  void hold_ack(AckHold& holds, std::uint32_t flow_index, std::uint64_t now_ns);
  [[nodiscard]] bool hold_ends_at(std::uint64_t ns) const { return hold_end_ns_ == ns; }
  // No reply came in time. This flow's acknowledgements are not held any more.
  void hold_failed();

  // The window. segment: the guest's largest, in bytes.
  //
  // The least window worth offering. One below a segment stalls the guest: with nothing outstanding its TCP
  // waits for its persist timer rather than send less (RFC 9293, 3.8.6.2.1). Two segments cover what the
  // scale rounds off.
  [[nodiscard]] std::uint32_t least_window(std::uint32_t segment) const;
  // The largest. scarce: memory for what the host socket does not take is running out.
  [[nodiscard]] std::uint32_t window_limit(std::uint32_t segment, bool scarce) const;
  // Moves the edge as far as it may go and returns the window as it goes on the wire. While bytes wait for
  // the host socket the edge stands still. After that it follows the room in the socket, with a floor that
  // makes the guest fill the socket and so brings its EPOLLOUT. socket_room() is called only when it matters
  // and returns the free bytes, nothing if the socket is closed.
  template <typename SocketRoom>
  [[nodiscard]] std::uint16_t offer_window(std::uint32_t segment, bool scarce, SocketRoom socket_room);
  // The window of our SYN or SYN-ACK, which is never scaled (RFC 7323, 2.2).
  [[nodiscard]] std::uint16_t offer_syn_window(std::uint32_t segment, bool scarce);
  // The host socket was full: from now on the window follows its room.
  void follow_room() { follows_room_ = true; }

  ByteQueue overflow;

 private:
  void widen_to(std::uint32_t window) { edge_ = seq_max(edge_, next_ + window); }
  [[nodiscard]] std::uint32_t open() const { return edge_ - next_; }
  [[nodiscard]] std::uint8_t scale() const { return scaled_ ? kOurScale : std::uint8_t{0}; }

  std::uint64_t bytes_ = 0;
  std::uint64_t hold_end_ns_ = 0;  // the acknowledgement is held until then, 0 if it is not
  Seq initial_ = 0;
  Seq next_ = 0;
  Seq edge_ = 0;
  Seq acked_ = 0;  // next_ as of the last acknowledgement
  bool scaled_ = false;
  bool fin_ = false;
  bool ack_due_ = false;
  bool hold_failed_ = false;
  bool follows_room_ = false;
};

template <typename SocketRoom>
std::uint16_t TcpReceive::offer_window(std::uint32_t segment, bool scarce, SocketRoom socket_room) {
  const std::uint32_t limit = window_limit(segment, scarce);
  if (overflow.empty() && !fin_) {
    if (!follows_room_) {
      widen_to(limit);
    } else if (open() < std::max(limit / 4, segment + (1U << scale()))) {
      if (const std::optional<std::uint32_t> room = socket_room()) {
        // Half of it: the kernel counts its bookkeeping against the same room (SO_SNDBUF, socket(7)).
        const std::uint32_t wanted = *room / 2;
        if (wanted >= limit) follows_room_ = false;
        widen_to(std::clamp(wanted, least_window(segment), limit));
      }
    }
  }
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(open() >> scale(), 65535));
}

}  // namespace glassbox::net
