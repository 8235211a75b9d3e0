// Splits the segments of a cycle by state: which thread acts in each step, and what it did meanwhile.
//
// Theory of operation. The actor of a step is whatever makes the boundary at its end happen. Its state is:
//   the network thread or a server's thread   its state on the host
//   a process in the guest                    its state in the guest, overridden by that of its vCPU
//   the guest's kernel, in an interrupt       the state of the vCPU that took the interrupt
// A vCPU overrides the guest's scheduler in two cases. While the vCPU was runnable but its thread had no CPU
// on the host, nothing on that vCPU could proceed (stolen). While the vCPU had left the guest, a process that
// the guest called running did not run (exit).
//
// The guest's events name the guest CPU. Which host thread that is, the clock exchanges tell: each was made
// on one guest CPU and answered on one host thread.
//
// Guest times are mapped, so that a split that combines both clocks is exact within the clock bound. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/thread_states.h"

namespace glassbox::trace {

// Who makes the end of a step happen.
enum class Actor : std::uint8_t { kNone, kNetwork, kServer, kClient, kVcpu, kSeveral };
// The actor of a segment; kSeveral if its steps have different ones.
[[nodiscard]] Actor actor_of(Segment segment);
[[nodiscard]] std::string_view name_of(Actor actor);
[[nodiscard]] Actor actor_of(const Step& step);

class CycleStates {
 public:
  // `trace` need not outlive it.
  CycleStates(const Trace& trace, const ClockReport& clock);

  // False if the trace has no scheduling events of the side that acts.
  [[nodiscard]] bool knows(Actor actor) const;
  [[nodiscard]] bool knows_host_thread(std::uint32_t tid) const { return host_.knows(tid); }
  [[nodiscard]] bool knows_vcpus() const;
  [[nodiscard]] StateSplit split(const CycleResult& cycle, const Step& step) const;
  // The sum over the cycle's steps in the segment.
  [[nodiscard]] StateSplit split(const CycleResult& cycle, Segment segment) const;

 private:
  struct Exit {
    std::int64_t begin_ns, end_ns;
  };
  struct Vcpu {
    std::uint32_t tid = 0;
    std::vector<Exit> exits;  // by time
  };
  [[nodiscard]] const Vcpu* vcpu(std::uint16_t cpu) const;
  void add_exits(const Trace& trace);
  void split_on_vcpu(const ThreadStates::Interval& task, const Vcpu* vcpu, StateSplit& out) const;
  void split_vcpu(const Vcpu& vcpu, std::int64_t begin_ns, std::int64_t end_ns, StateSplit& out) const;

  ThreadStates host_;
  std::optional<ThreadStates> guest_;
  std::unordered_map<std::uint16_t, Vcpu> vcpus_;  // by the guest's CPU number
};

}  // namespace glassbox::trace
