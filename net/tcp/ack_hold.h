// Acknowledgements that wait a moment for a reply to carry them.
//
// Theory of operation. A request to a server on this host is answered within some tens of microseconds (a
// millisecond on an emulated machine), and the answer carries the acknowledgement: a frame of its own before
// it costs both sides more than it tells them. So the acknowledgement of a short request is held, for kHoldNs
// at the most and only while replies are known to come sooner: a moving average over the replies of all flows
// to local servers decides, and a hold that ended without a reply counts as a late one. A flow whose hold
// failed is never held again, so that a guest that waits for an acknowledgement (Nagle's algorithm, RFC
// 9293, 3.7.4) waits once. RFC 9293, 3.8.6.3, allows 500 ms and asks for one for every second full-sized
// segment; here less than one segment is ever held, for a tenth of the 40 ms that Linux takes at the least.
//
// Every hold lasts equally long, so those that are under way are a ring in the order of their ends. An entry
// whose flow was acknowledged meanwhile is stale and falls out at the front; when the ring is full nothing
// more is held.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace glassbox::net {

class AckHold {
 public:
  static constexpr std::uint64_t kHoldNs = 4'000'000;
  static constexpr std::uint32_t kMaxBytes = 1460;  // of a request; a larger segment is part of a stream

  struct Entry {
    std::uint64_t due_ns;
    std::uint32_t flow_index;
  };

  // When the hold of this flow ends, or 0: acknowledge at once.
  [[nodiscard]] std::uint64_t begin(std::uint32_t flow_index, std::uint64_t now_ns) {
    if (average_ns_ > kHoldNs / 2 || count_ == entries_.size()) return 0;
    const Entry entry{now_ns + kHoldNs, flow_index};
    entries_[(first_ + count_++) % entries_.size()] = entry;
    return entry.due_ns;
  }

  // The hold that ends first; null if there is none.
  [[nodiscard]] const Entry* front() const { return count_ == 0 ? nullptr : &entries_[first_]; }
  void pop_front() {
    first_ = (first_ + 1) % entries_.size();
    --count_;
  }

  // How long after a request the reply came.
  void learn(std::uint64_t reply_ns) {
    const std::uint64_t sample = std::min(reply_ns, 4 * kHoldNs);
    average_ns_ = average_ns_ - average_ns_ / 8 + sample / 8;
  }
  void learn_failure() { learn(4 * kHoldNs); }

 private:
  std::uint64_t average_ns_ = kHoldNs / 4;
  std::array<Entry, 256> entries_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace glassbox::net
