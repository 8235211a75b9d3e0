// Puts the boundaries of one cycle in causal order, for resolve_path(). Pure; nodes point into nothing.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tools/trace/clock/clock.h"
#include "tools/trace/path/flows.h"
#include "tools/trace/path/guest_cycles.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

// The guest's TCP frames, by connection and by the kinds that chains ask for. Each query is one binary
// search: a connection may have millions of frames, or a guest may claim so, and each cycle queries them.
// Refers to the trace, which must outlive it.
class GuestFrames {
 public:
  explicit GuestFrames(const Trace& trace);
  enum class FrameClass : std::uint8_t { kSyn, kSynOnly, kSynAck, kFin, kPayload, kPayloadNoSyn, kCount };
  class List {
   public:
    void add(EventRef frame);
    // The first or last frame of that kind in [from_ns, to_ns], guest time; null if there is none.
    [[nodiscard]] EventRef first(FrameClass what, std::uint64_t from_ns, std::uint64_t to_ns) const;
    [[nodiscard]] EventRef last(FrameClass what, std::uint64_t from_ns, std::uint64_t to_ns) const;

   private:
    std::array<std::vector<EventRef>, static_cast<std::size_t>(FrameClass::kCount)> by_what_;  // by time
  };
  struct Frames {
    List xmit, receive;
  };
  [[nodiscard]] const Frames& of(const FlowPorts& ports) const;
  // The last interrupt of a receive queue in [from_ns, to_ns], guest time, or null.
  [[nodiscard]] EventRef irq(std::uint64_t from_ns, std::uint64_t to_ns) const;

 private:
  std::unordered_map<std::uint64_t, Frames> by_ports_;
  std::vector<EventRef> irqs_;  // by time
  Frames none_;
};

struct ChainContext {
  const ClockHull& clock;
  const GuestFrames& frames;
  const KindsSeen& seen;
};

// The chain of a cycle that the guest reported. `flow` is null if the host saw nothing of the connection. The
// first and the last node are seen.
[[nodiscard]] std::vector<Node> build_chain(const GuestCycle& cycle, const HostFlow* flow,
                                            const ChainContext& context);

// The chain of a flow alone, if the guest was not traced: from the arrival of the SYN to the publication of
// the reply. Empty if the trace lacks either end. `has_irqs` is false for a tap device (glassbox netns).
[[nodiscard]] std::vector<Node> build_host_chain(const HostFlow& flow, bool has_irqs);

}  // namespace glassbox::trace
