// Delayed acknowledgements: they wait a moment for a reply that can carry them.
//
// Theory of operation. A server on this host answers a request within some tens of microseconds (a
// millisecond on an emulated machine), and the answer carries the acknowledgement. A separate frame for it
// would cost both sides more than it is worth. So the acknowledgement of a short request is held, for kHoldNs
// at most, and only while replies usually come sooner. A moving average over the replies of all flows to
// local servers decides that; a hold that ended without a reply counts as a late reply. A flow whose hold
// failed is never held again, so that a guest that waits for an acknowledgement (Nagle's algorithm, RFC
// 9293, 3.7.4) waits only once. RFC 9293, 3.8.6.3, allows a delay of 500 ms and requires an acknowledgement
// for every second full-sized segment. Here less than one segment is held, for a tenth of the 40 ms that
// Linux delays at least.
//
// All holds last equally long, so the current ones form a ring in the order of their ends. An entry whose
// flow was acknowledged in the meantime is stale and falls out at the front. When the ring is full nothing
// more is held. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "vmm/base/clock.h"

namespace glassbox::net {

class AckHold {
 public:
  static constexpr std::uint64_t kHoldNs = 4 * kNsPerMs;
  static constexpr std::uint32_t kMaxBytes = 1460;  // of a request; a larger segment is part of a stream

  struct Entry {
    std::uint64_t due_ns;
    std::uint32_t flow_index;
  };

  // Begins a hold. Returns when it ends, CLOCK_MONOTONIC in nanoseconds; 0: acknowledge at once instead.
  [[nodiscard]] std::uint64_t begin(std::uint32_t flow_index, std::uint64_t now_ns) {
    if (average_ns_ > kHoldNs / 2 || count_ == entries_.size()) return 0;
    const Entry entry{now_ns + kHoldNs, flow_index};
    entries_[(first_ + count_++) % entries_.size()] = entry;
    return entry.due_ns;
  }

  // The hold that ends first, which may be stale; null if there is none.
  [[nodiscard]] const Entry* front() const { return count_ == 0 ? nullptr : &entries_[first_]; }
  void pop_front() {
    first_ = (first_ + 1) % entries_.size();
    --count_;
  }

  // Takes the time between a request and its reply.
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
