// What a thread was doing at any time, by the scheduler's events: the answer to why a segment took its time,
// where its place answers where.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

enum class ThreadState : std::uint8_t {
  kRunning,
  kRunnable,  // could run, has no CPU
  kBlocked,
  kUnknown,
  // Of what runs in a guest, where the vCPU stands in its way:
  kExit,    // it would run, but the vCPU is in exit handling
  kStolen,  // the vCPU could run, but its thread has no CPU on the host
};
inline constexpr std::size_t kThreadStates = 6;

[[nodiscard]] std::string_view name_of(ThreadState state);

// Nanoseconds by state; they sum up to the interval.
using StateSplit = std::array<std::int64_t, kThreadStates>;

class ThreadStates {
 public:
  // The host's threads.
  explicit ThreadStates(const Trace& trace);
  // The guest's, in host time.
  ThreadStates(const Trace& trace, const ClockHull& clock);

  // False: the trace has no scheduling events at all.
  [[nodiscard]] bool known() const { return !by_tid_.empty(); }
  [[nodiscard]] bool knows(std::uint32_t tid) const { return by_tid_.contains(tid); }
  // Before the thread's first event its state is unknown.
  [[nodiscard]] StateSplit split(std::uint32_t tid, std::int64_t begin_ns, std::int64_t end_ns) const;

  // The same as intervals in order, without gaps. cpu is where it ran last, kNoCpu if that is not known.
  static constexpr std::uint16_t kNoCpu = 0xffff;
  struct Interval {
    std::int64_t begin_ns, end_ns;
    ThreadState state;
    std::uint16_t cpu;
  };
  [[nodiscard]] std::vector<Interval> intervals(std::uint32_t tid, std::int64_t begin_ns,
                                                std::int64_t end_ns) const;

 private:
  struct Change {
    std::int64_t at_ns;
    ThreadState state;  // from then on
    std::uint16_t cpu;
  };
  std::vector<Change>& changes_of(std::uint64_t tid);
  void left_cpu(std::uint64_t tid, std::int64_t at_ns, std::uint64_t state, std::uint16_t cpu);
  void got_cpu(std::uint64_t tid, std::int64_t at_ns, std::uint16_t cpu);
  void woken(std::uint64_t tid, std::int64_t at_ns);

  std::unordered_map<std::uint32_t, std::vector<Change>> by_tid_;
};

}  // namespace glassbox::trace
