// The split of a cycle's segments by state: who had to act in each step, and what it did meanwhile.
//
// Theory of operation. A step is the doing of whoever makes the boundary at its end happen:
//   the network thread or a server's thread   its state on the host
//   a process in the guest                    its state in the guest; and the vCPU's that it runs on, on top
//   the guest's kernel, in an interrupt       the state of the vCPU that took it
// On top means: while the vCPU could run and its thread had no CPU on the host, nothing in the guest on that
// vCPU could go on, whatever the guest's scheduler believed (stolen); and while a process ran on a vCPU that
// was out of the guest, it did not (exit). Which vCPU: the CPU that the guest's events name, and which of the
// host's threads that is, the clock exchanges tell: each was made on one guest CPU and answered on one
// thread.
//
// The guest's times are mapped, so that a split on the two clocks together is right within the clock bound.
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

enum class Actor : std::uint8_t { kNone, kNetwork, kServer, kClient, kVcpu, kSeveral };
// Who acts in a segment; kSeveral where its steps differ.
[[nodiscard]] Actor actor_of(Segment segment);
[[nodiscard]] std::string_view name_of(Actor actor);
[[nodiscard]] Actor actor_of(const Step& step);

class CycleStates {
 public:
  // `trace` need not outlive it.
  CycleStates(const Trace& trace, const ClockReport& clock);

  // False: the trace has no scheduling events of the side that acts.
  [[nodiscard]] bool knows(Actor actor) const;
  [[nodiscard]] bool knows_host_thread(std::uint32_t tid) const { return host_.knows(tid); }
  [[nodiscard]] bool knows_vcpus() const;
  [[nodiscard]] StateSplit split(const CycleResult& cycle, const Step& step) const;
  // Sum over the cycle's steps in the segment.
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
