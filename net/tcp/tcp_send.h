// The stream towards the guest: what was sent and acknowledged, the guest's window, and what to repeat
// (RFC 9293, 3.4, 3.8 and 3.10.7.4; fast retransmit RFC 5681, 3.2; recovery RFC 6582, 3.2).
//
//   una            first byte that the guest has not acknowledged
//   next           what is sent next; una <= next <= max
//   max            end of what was ever sent; below it everything is a repetition
//   stored_end     up to here bytes were read from the host socket for good, and [una, stored_end) is kept in
//                  `stored`; from here on they are still in the socket, peeked at or not read yet
//   end            where the host's stream ends, once that is known: the sequence number of the FIN
//
// Pure: no clock and no socket. Sequence numbers wrap; all comparisons are those of net/flow/seq.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/flow/seq.h"
#include "net/link/ip_input.h"
#include "net/tcp/byte_queue.h"
#include "net/tcp/retransmit_timer.h"
#include "net/tcp/tcp_limits.h"

namespace glassbox::net {

class TcpSend {
 public:
  // A new connection. The SYN or SYN-ACK takes the first sequence number.
  void begin(Seq initial);
  // Takes the options and the window of the guest's SYN. largest_mss: what the link's MTU allows.
  void take_syn(const TcpHeader& syn, std::uint16_t largest_mss);
  // Whether this acknowledges our SYN or SYN-ACK, and one was sent.
  [[nodiscard]] bool is_ack_of_syn(Seq ack) const {
    return timer.running() && seq_gt(ack, initial_) && seq_le(ack, max_);
  }
  // The guest has acknowledged our SYN or SYN-ACK.
  void open(std::uint64_t now_ns);

  [[nodiscard]] Seq initial() const { return initial_; }
  [[nodiscard]] Seq una() const { return una_; }
  [[nodiscard]] Seq next() const { return next_; }
  [[nodiscard]] Seq max() const { return max_; }
  [[nodiscard]] Seq stored_end() const { return stored_end_; }
  [[nodiscard]] std::uint16_t mss() const { return mss_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // payload sent, repetitions not counted

  [[nodiscard]] std::uint32_t in_flight() const { return next_ - una_; }
  [[nodiscard]] bool outstanding() const { return una_ != max_; }
  [[nodiscard]] bool repeats() const { return seq_lt(next_, max_); }
  [[nodiscard]] bool next_is_stored() const { return seq_lt(next_, stored_end_); }
  // After a time-out one frame is sent alone, until an acknowledgement comes.
  [[nodiscard]] bool waits_for_ack() const { return one_frame_ && in_flight() != 0; }

  // The guest's window.
  [[nodiscard]] std::uint32_t window() const { return window_; }
  [[nodiscard]] bool same_window(std::uint16_t wire) const { return scaled(wire) == window_; }
  // Takes the window of an acceptable segment, unless the segment is older than the one that set it.
  void take_window(Seq seq, Seq ack, std::uint16_t wire);
  // How much may be sent now; 0: wait. Less than a segment is sent only if nothing is outstanding, so that
  // the guest need not handle many small ones (RFC 9293, 3.8.6.2.1).
  [[nodiscard]] std::uint32_t usable_window() const;

  // Takes an acknowledgement of something new, and gives the stored bytes before it back to the pool.
  void acknowledge(ChunkPool& pool, Seq ack, std::uint64_t now_ns);
  // A partial acknowledgement while recovering: the frame at una is the next that was lost.
  [[nodiscard]] bool has_hole() const { return seq_lt(una_, recover_) && next_ == max_ && una_ != max_; }
  // Counts a duplicate acknowledgement. True if it says that the frame at una was lost.
  [[nodiscard]] bool is_loss_after_duplicate();
  // Nothing came for an interval. Counts the attempt and backs off; false if the guest is to be given up.
  // Waiting for room in the pool is no attempt.
  [[nodiscard]] bool time_out(std::uint64_t now_ns);
  // Everything unacknowledged is to be sent again, the first frame alone.
  void rewind();
  // Repeats the frame at una without disturbing what goes on behind it: next() is una until repeat_ended(),
  // which takes back what this returned.
  [[nodiscard]] Seq repeat_first();
  void repeat_ended(Seq next) { next_ = next; }

  // Payload of [next, next + bytes) goes out, with the FIN if the stream ends there. Returns how much of it
  // is sent for the first time.
  std::uint32_t sent(std::uint32_t bytes);
  void sent_fin();
  // The bytes up to here are in `stored` or acknowledged, and gone from the host socket.
  void taken_from_socket(std::uint32_t bytes) { stored_end_ += bytes; }

  // The host's stream ends at this sequence number.
  void end_at(Seq end);
  [[nodiscard]] bool ends() const { return ends_; }
  [[nodiscard]] Seq end() const { return end_; }
  [[nodiscard]] bool ends_at(Seq seq) const { return ends_ && seq == end_; }
  [[nodiscard]] bool fin_was_sent() const { return ends_ && seq_gt(next_, end_); }
  [[nodiscard]] bool fin_was_acknowledged() const { return una_ == end_ + 1; }
  // Nothing of the host's stream is left in its socket.
  [[nodiscard]] bool socket_is_drained() const { return ends_at(stored_end_); }

  ByteQueue stored;
  RetransmitTimer timer;

 private:
  static constexpr std::uint8_t kDuplicatesOfLoss = 3;  // RFC 5681, 3.2

  [[nodiscard]] std::uint32_t scaled(std::uint16_t wire) const { return std::uint32_t{wire} << scale_; }

  std::uint64_t bytes_ = 0;
  Seq initial_ = 0;
  Seq una_ = 0;
  Seq next_ = 0;
  Seq max_ = 0;
  Seq stored_end_ = 0;
  Seq end_ = 0;
  Seq recover_ = 0;  // a loss below this is being repaired already
  std::uint32_t window_ = 0;
  Seq window_seq_ = 0;  // SND.WL1 and SND.WL2: of the segment that set the window
  Seq window_ack_ = 0;
  std::uint16_t mss_ = 0;
  std::uint8_t scale_ = 0;
  std::uint8_t duplicate_acks_ = 0;
  bool one_frame_ = false;
  bool ends_ = false;
};

}  // namespace glassbox::net
