// Finds the cycles in what the guest reported.
//
// Theory of operation. One pass in time order keeps a picture of processes, pipelines and connections.
//
// A pipeline is what a parent forks and then waits for: it begins with the parent's first fork while it has
// no other children to wait for, and ends when the last of them is reaped (or when the parent forks again
// after the client among them was reaped: children that stay in the background do not hold it open). A
// pipeline with one process that makes one connection is a cycle of the process-per-cycle kind.
//
// Any other connection is a cycle of its own, from socket() to the end of close().
//
// Kinds that a trace does not have at all are done without where possible: without forks, the reaping tells
// who the parent is; without clone or reap events the cycle begins with the fork and ends with the exit, and
// is that much shorter. One lost event where others of its kind arrived makes a cycle incomplete: counted,
// not used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/trace/flows.h"
#include "tools/trace/trace.h"

namespace glassbox::trace {

struct GuestConnection {
  std::uint32_t tgid = 0;
  std::uint64_t skaddr = 0;
  std::uint16_t local_port = 0, peer_port = 0;
  std::uint64_t first_ns = 0, last_ns = 0;  // guest time
  EventRef socket{}, connect_begin{}, connect_done{}, established{}, send{}, read{}, read_eof{};
  EventRef half_close{}, close{}, close_done{};
};

enum class CycleKind : std::uint8_t { kFork, kSingle, kHostOnly };

struct GuestCycle {
  CycleKind kind = CycleKind::kSingle;
  GuestConnection connection;
  // Process-per-cycle only: the parent's clone and fork events up to the client's, in order.
  std::vector<EventRef> forks;
  bool execs = true;  // false if the client provably never called exec
  EventRef exec_begin{}, exec_done{}, exit{}, client_reap{}, last_reap{};
};

struct GuestCycles {
  std::vector<GuestCycle> complete;  // in the order of their ends
  std::size_t incomplete = 0;        // begun or ended outside the trace, or an event of it was lost
};

using KindsSeen = std::array<bool, GB_KIND_LIMIT>;
[[nodiscard]] KindsSeen kinds_seen(const Trace& trace);

// References in the result point into `trace`.
[[nodiscard]] GuestCycles find_guest_cycles(const Trace& trace);

}  // namespace glassbox::trace
