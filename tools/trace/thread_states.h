// What a host thread was doing at any time, by the scheduler's events: the answer to why a segment took its
// time, where its place answers where.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tools/trace/path.h"
#include "tools/trace/trace.h"

namespace glassbox::trace {

enum class ThreadState : std::uint8_t { kRunning, kRunnable, kBlocked, kUnknown };
inline constexpr std::size_t kThreadStates = 4;

// Nanoseconds by state; they sum up to the interval.
using StateSplit = std::array<std::int64_t, kThreadStates>;

class ThreadStates {
 public:
  explicit ThreadStates(const Trace& trace);

  // False: the trace has no scheduling events at all.
  [[nodiscard]] bool known() const { return !by_tid_.empty(); }
  [[nodiscard]] bool knows(std::uint32_t tid) const { return by_tid_.contains(tid); }
  // Before the thread's first event its state is unknown.
  [[nodiscard]] StateSplit split(std::uint32_t tid, std::int64_t begin_ns, std::int64_t end_ns) const;

 private:
  struct Change {
    std::int64_t at_ns;
    ThreadState state;  // from then on
  };
  std::unordered_map<std::uint32_t, std::vector<Change>> by_tid_;
};

// Whose doing a segment is. A cross segment towards the host ends when the network thread runs.
enum class Actor : std::uint8_t { kNone, kNetwork, kServer };
[[nodiscard]] Actor actor_of(Segment segment);

// Threads that read the clock exchanges: the vCPUs.
[[nodiscard]] std::vector<std::uint32_t> vcpu_threads(const Trace& trace);

}  // namespace glassbox::trace
