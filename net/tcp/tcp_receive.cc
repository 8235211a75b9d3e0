#include "net/tcp/tcp_receive.h"

namespace glassbox::net {

void TcpReceive::take_syn(Seq seq, bool scaled) {
  initial_ = seq;
  next_ = edge_ = acked_ = seq + 1;
  scaled_ = scaled;
}

TcpReceive::Part TcpReceive::part_of(Seq seq, std::size_t bytes, bool fin) const {
  if (seq_gt(seq, next_)) {
    return {.drop = seq_lt(seq, edge_) ? DropReason::kOutOfOrder : DropReason::kOutOfWindow};
  }
  const std::uint32_t seen = next_ - seq;
  if (seen > bytes || (seen == bytes && !fin)) return {.drop = DropReason::kDuplicate};
  if (fin_) return {.drop = DropReason::kOutOfWindow};  // nothing may follow a FIN
  const auto fresh = static_cast<std::uint32_t>(bytes) - seen;
  if (fresh > open()) return {.drop = DropReason::kOutOfWindow, .skip = seen, .bytes = open()};
  return {.skip = seen, .bytes = fresh, .fin = fin};
}

void TcpReceive::took(std::size_t bytes) {
  next_ += static_cast<std::uint32_t>(bytes);
  bytes_ += bytes;
}

// A FIN right at the edge lies beyond it. The window ends where the guest's stream does: with an edge behind
// next all that follows would count as outside, the guest's own window with it.
void TcpReceive::took_fin() {
  fin_ = true;
  ++next_;
  edge_ = seq_max(edge_, next_);
}

void TcpReceive::ack_sent() {
  ack_due_ = false;
  hold_end_ns_ = 0;
  acked_ = next_;
}

bool TcpReceive::may_hold_ack(std::uint16_t mss) const {
  return !hold_failed_ && next_ - acked_ < std::min<std::uint32_t>(mss, AckHold::kMaxBytes) &&
         overflow.empty();
}

void TcpReceive::hold_ack(AckHold& holds, std::uint32_t flow_index, std::uint64_t now_ns) {
  if (hold_end_ns_ == 0) hold_end_ns_ = holds.begin(flow_index, now_ns);
  ack_due_ = hold_end_ns_ == 0;
}

void TcpReceive::hold_failed() {
  hold_end_ns_ = 0;
  ack_due_ = hold_failed_ = true;
}

std::uint32_t TcpReceive::least_window(std::uint32_t segment) const {
  return scaled_ ? std::max(kSmallWindow, 2 * segment) : kSmallWindow;
}

std::uint32_t TcpReceive::window_limit(std::uint32_t segment, bool scarce) const {
  return scaled_ && !scarce ? kWindow : least_window(segment);
}

std::uint16_t TcpReceive::offer_syn_window(std::uint32_t segment, bool scarce) {
  widen_to(std::min(window_limit(segment, scarce), kSmallWindow));
  return static_cast<std::uint16_t>(std::min(open(), kSmallWindow));
}

}  // namespace glassbox::net
