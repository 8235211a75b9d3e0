// Finds the cycles in the guest's events.
//
// Theory of operation. One pass in order of time tracks processes, pipelines and connections.
//
// A pipeline is a set of children that a parent forks and then waits for. It begins with a fork of a parent
// that has no other children to wait for. It ends when the last child is reaped, or when the parent forks
// again after the client among the children was reaped, so that background children do not keep it open. A
// pipeline in which one process makes one connection is a cycle of the process-per-cycle kind.
//
// In a pipeline with several clients, which run at once, each client is a cycle, from the clone that made it
// to its own reaping.
//
// Any other connection is a cycle of its own, from socket() to the end of close().
//
// Each end of a cycle is marked by two events, so that its length survives the loss of one: the first clone
// by the fork too, the reaping by the return of wait4(), socket() by connect(), the end of close() by the
// release of the socket. If forks are missing, the reaping names the parent. A cycle that lacks both events
// of an end is incomplete: it is counted and not used.
//
// The guest may report anything: memory is bounded by the number of its events. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/flows.h"

namespace glassbox::trace {

// A boundary that is marked by more than one event.
struct Moment {
  EventRef event{};      // the boundary itself; null: lost
  std::uint64_t ns = 0;  // guest time; 0: not known
};

struct GuestConnection {
  std::uint32_t tgid = 0;
  std::uint64_t skaddr = 0;
  std::uint16_t local_port = 0, peer_port = 0;
  bool ipv6 = false;  // IPv6
  [[nodiscard]] FlowPorts ports() const { return {ipv6, local_port, peer_port}; }
  std::uint64_t first_ns = 0, last_ns = 0;  // guest time
  EventRef socket{}, connect_begin{}, connect_done{}, established{}, send{}, read{}, read_eof{};
  EventRef half_close{}, close{}, close_done{};
  // When socket() began and close() ended, by either of two events; 0: both were lost.
  std::uint64_t socket_ns = 0, close_done_ns = 0;
};

enum class CycleKind : std::uint8_t { kFork, kSingle, kHostOnly, kInbound };

struct GuestCycle {
  CycleKind kind = CycleKind::kSingle;
  GuestConnection connection;
  // Process-per-cycle only: the parent's clone and fork events up to the client's, in order.
  std::vector<EventRef> forks;
  bool execs = true;  // false only if the trace proves that the client did not call exec
  EventRef exec_begin{}, exec_done{}, exit{};
  Moment begin, client_reap, last_reap;  // begin: of the first clone
};

struct GuestCycles {
  std::vector<GuestCycle> complete;  // in the order of their ends
  std::size_t incomplete = 0;        // begun or ended outside the trace, or both events of an end were lost
};

using KindsSeen = std::array<bool, GB_KIND_LIMIT>;
[[nodiscard]] KindsSeen kinds_seen(const Trace& trace);

// References in the result point into `trace`.
[[nodiscard]] GuestCycles find_guest_cycles(const Trace& trace);

}  // namespace glassbox::trace
