#include "net/tcp/tcp_send.h"

namespace glassbox::net {

void TcpSend::begin(Seq initial) {
  initial_ = una_ = initial;
  next_ = max_ = stored_end_ = recover_ = initial + 1;
}

void TcpSend::take_syn(const TcpHeader& syn, std::uint16_t largest_mss) {
  mss_ = std::min(std::max(syn.mss == 0 ? kDefaultMss : syn.mss, kMinMss), largest_mss);
  scale_ = syn.scale >= 0 ? std::min(static_cast<std::uint8_t>(syn.scale), kMaxScale) : std::uint8_t{0};
  window_ = syn.window;  // that of a SYN is never scaled (RFC 7323, 2.2)
  window_seq_ = syn.seq;
  window_ack_ = initial_;
}

void TcpSend::open(std::uint64_t now_ns) {
  una_ = initial_ + 1;
  timer.forget_attempts();
  outstanding() ? timer.start(now_ns) : timer.stop();
}

// RFC 9293, 3.10.7.4, with one addition: a segment that acknowledges something new is not old, whatever its
// sequence number (a retransmission). Its window counts, or the edge would move on by what it acknowledges.
void TcpSend::take_window(Seq seq, Seq ack, std::uint16_t wire) {
  if (seq_lt(ack, una_)) return;
  const bool newer =
      seq_lt(window_seq_, seq) || (window_seq_ == seq && seq_le(window_ack_, ack)) || seq_gt(ack, una_);
  if (!newer) return;
  window_ = scaled(wire);
  window_seq_ = seq;
  window_ack_ = ack;
}

std::uint32_t TcpSend::usable_window() const {
  const std::uint32_t flying = in_flight();
  const std::uint32_t usable = window_ > flying ? window_ - flying : 0;
  return usable < mss_ && flying != 0 ? 0 : usable;
}

void TcpSend::acknowledge(ChunkPool& pool, Seq ack, std::uint64_t now_ns) {
  const Seq kept_until = seq_min(ack, stored_end_);
  if (seq_gt(kept_until, una_)) {
    stored.drop_front(pool, std::min<std::size_t>(kept_until - una_, stored.size()));
  }
  una_ = ack;
  next_ = seq_max(next_, ack);
  recover_ = seq_max(recover_, ack);  // left behind by more than 2 GiB it would count as ahead
  one_frame_ = false;
  duplicate_acks_ = 0;
  timer.forget_attempts();
  outstanding() ? timer.start(now_ns) : timer.stop();
}

bool TcpSend::is_loss_after_duplicate() {
  if (++duplicate_acks_ != kDuplicatesOfLoss || seq_lt(una_, recover_)) return false;
  recover_ = max_;
  return true;
}

bool TcpSend::time_out(std::uint64_t now_ns) {
  if (outstanding() || window_ == 0) timer.count_attempt();
  timer.start_backed_off(now_ns);
  return !timer.exhausted();
}

void TcpSend::rewind() {
  next_ = una_;
  recover_ = max_;
  one_frame_ = true;
  duplicate_acks_ = 0;
}

Seq TcpSend::repeat_first() {
  const Seq before = next_;
  next_ = una_;
  return before;
}

std::uint32_t TcpSend::sent(std::uint32_t bytes) {
  const Seq end = next_ + bytes;
  const std::uint32_t fresh = seq_gt(end, max_) ? end - max_ : 0;
  bytes_ += fresh;
  next_ = ends_at(end) ? end + 1 : end;
  max_ = seq_max(max_, next_);
  return fresh;
}

void TcpSend::sent_fin() {
  ++next_;
  max_ = seq_max(max_, next_);
}

void TcpSend::end_at(Seq end) {
  ends_ = true;
  end_ = end;
}

}  // namespace glassbox::net
