// A drop as everybody is to hear of it: the counter and the probe frame_drop, never one without the other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/probes.h"
#include "net/counters.h"

namespace glassbox::net {

// Of a frame of the guest, or of one that was to be the guest's; bytes: of what is lost, as far as is known.
inline void count_drop(NatCounters& counters, DropReason reason, std::size_t bytes) {
  ++counters.dropped[static_cast<std::size_t>(reason)];
  probe::frame_drop(static_cast<std::uint32_t>(reason), static_cast<std::uint32_t>(bytes));
}

}  // namespace glassbox::net
