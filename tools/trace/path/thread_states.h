// What a thread was doing at any time, from the scheduler's events. Segments say where the time went; states
// say why. Pure.
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
  kRunnable,  // ready to run, without a CPU
  kBlocked,
  kUnknown,
  // States of guest threads that their vCPU causes:
  kExit,    // it runs for the guest, but the vCPU is in exit handling
  kStolen,  // the vCPU is runnable, but its thread has no CPU on the host
};
inline constexpr std::size_t kThreadStates = 6;

[[nodiscard]] std::string_view name_of(ThreadState state);

// Nanoseconds per state; they add up to the interval.
using StateSplit = std::array<std::int64_t, kThreadStates>;

class ThreadStates {
 public:
  // The threads of the host.
  explicit ThreadStates(const Trace& trace);
  // The threads of the guest, in host time.
  ThreadStates(const Trace& trace, const ClockHull& clock);

  // False if the trace has no scheduling events of that side.
  [[nodiscard]] bool known() const { return !by_tid_.empty(); }
  [[nodiscard]] bool knows(std::uint32_t tid) const { return by_tid_.contains(tid); }
  // How [begin_ns, end_ns] divides into states. Before a thread's first event its state is unknown.
  [[nodiscard]] StateSplit split(std::uint32_t tid, std::int64_t begin_ns, std::int64_t end_ns) const;

  // The same as a list of intervals in order, without gaps. `cpu` is where the thread last ran, or kNoCpu.
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
