// A drop or a refusal is counted and fires its probe, never one without the other.
//
// Thread: the network thread (net/counters.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/probes.h"
#include "net/counters.h"

namespace glassbox::net {

// A frame from the guest, or one for it, is lost. bytes: how much was lost, as far as it is known.
inline void count_drop(NatCounters& counters, DropReason reason, std::size_t bytes) {
  ++counters.dropped[static_cast<std::size_t>(reason)];
  probe::frame_drop(static_cast<std::uint32_t>(reason), static_cast<std::uint32_t>(bytes));
}

// A flow that the guest or a peer wanted to open does not come about.
inline void count_refusal(NatCounters& counters, RefuseReason reason) {
  ++counters.refused[static_cast<std::size_t>(reason)];
  probe::flow_refused(static_cast<std::uint32_t>(reason));
}

}  // namespace glassbox::net
