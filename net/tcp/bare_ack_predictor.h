// Predicts whether the guest answers a SYN-ACK with a bare ACK.
//
// Theory of operation. Usually it does: the guest's stack acknowledges, the connection is open, and the
// program's request is a frame of its own. Nothing waits for the bare ACK, so the guest need not announce it.
// That saves a kick, an exit and a turn of the network thread in every connection. But some programs send the
// ACK with their request (Linux: TCP_QUICKACK off, data queued before connect() returns). A wrong prediction
// would delay that request, so a bare ACK is predicted only after kSure connections in a row that sent one,
// and a single one that did not starts the count again.
//
// The ACK of the second FIN of a connection needs no prediction: nothing can follow it.
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
  // The guest has answered a SYN-ACK; bare: without payload and FIN.
  void saw(bool bare) { streak_ = bare ? std::min(streak_ + 1, kSure) : 0; }

 private:
  std::uint32_t streak_ = 0;
};

}  // namespace glassbox::net
