// Finds the cycles in what the guest reported.
//
// Theory of operation. One pass in time order keeps a picture of processes, pipelines and connections.
//
// A pipeline is what a parent forks and then waits for: it begins with the parent's first fork while it has
// no other children to wait for, and ends when the last of them is reaped (or when the parent forks again
// after the client among them was reaped: children that stay in the background do not hold it open). A
// pipeline with one process that makes one connection is a cycle of the process-per-cycle kind.
//
// In a pipeline with several clients (they run at once, and the parent waits for all) each is a cycle, from
// the clone that made it to its own reaping.
//
// Any other connection is a cycle of its own, from socket() to the end of close().
//
// What bounds a cycle is told by two events each, so that it stays as long as it was when one of them is
// lost: the first clone also by the fork, the reaping also by wait4()'s return, socket() also by connect(),
// the end of close() also by the socket's release. Without forks, the reaping tells who the parent is. A
// cycle that has neither of two is incomplete: counted, not used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/flows.h"

namespace glassbox::trace {

// A boundary that more than one event tells of.
struct Moment {
  EventRef event{};      // the boundary itself; null: lost
  std::uint64_t ns = 0;  // guest time; 0: not known
};

struct GuestConnection {
  std::uint32_t tgid = 0;
  std::uint64_t skaddr = 0;
  std::uint16_t local_port = 0, peer_port = 0;
  bool six = false;  // IPv6
  [[nodiscard]] FlowPorts ports() const { return {six, local_port, peer_port}; }
  std::uint64_t first_ns = 0, last_ns = 0;  // guest time
  EventRef socket{}, connect_begin{}, connect_done{}, established{}, send{}, read{}, read_eof{};
  EventRef half_close{}, close{}, close_done{};
  // When socket() began and close() ended, by whichever of two events tells; 0: neither.
  std::uint64_t socket_ns = 0, close_done_ns = 0;
};

enum class CycleKind : std::uint8_t { kFork, kSingle, kHostOnly, kInbound };

struct GuestCycle {
  CycleKind kind = CycleKind::kSingle;
  GuestConnection connection;
  // Process-per-cycle only: the parent's clone and fork events up to the client's, in order.
  std::vector<EventRef> forks;
  bool execs = true;  // false if the client provably never called exec
  EventRef exec_begin{}, exec_done{}, exit{};
  Moment begin, client_reap, last_reap;  // begin: of the first clone
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
