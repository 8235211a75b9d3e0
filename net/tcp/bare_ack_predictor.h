// Whether a guest answers a SYN-ACK with an acknowledgement alone.
//
// Theory of operation. As a rule it does: the stack acknowledges, the connection is open, and what the
// program then sends is a frame of its own. Nobody waits for the first of the two, so the guest need not
// announce it: that is a kick, an exit and a turn of the network thread less in every connection. Some
// programs have the acknowledgement ride on their request (Linux: TCP_QUICKACK off, data queued before
// connect() is through). Taking theirs for a lone one would hold the request back, so it is expected only
// after kSure connections in a row whose first answer was alone, and one that was not begins the count anew.
//
// The acknowledgement of a FIN that comes after the guest's own needs no such caution: nothing can follow it.
//
// Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace glassbox::net {

class BareAckPredictor {
 public:
  static constexpr std::uint32_t kSure = 8;

  [[nodiscard]] bool expected() const { return streak_ == kSure; }
  void saw(bool alone) { streak_ = alone ? std::min(streak_ + 1, kSure) : 0; }

 private:
  std::uint32_t streak_ = 0;
};

}  // namespace glassbox::net
