// Puts the boundaries of one cycle in causal order, for resolve_path().
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

// TCP frames of the guest by its connection and by what chains look for. Each look is one binary search: a
// connection may have millions of frames, a guest may claim to have them, and each of its cycles looks.
class GuestFrames {
 public:
  explicit GuestFrames(const Trace& trace);
  enum class What : std::uint8_t { kSyn, kSynOnly, kSynAck, kFin, kPayload, kPayloadNoSyn, kCount };
  class List {
   public:
    void add(EventRef frame);
    // The first, or last, frame of the sort in [from_ns, to_ns], guest time; null if there is none.
    [[nodiscard]] EventRef first(What what, std::uint64_t from_ns, std::uint64_t to_ns) const;
    [[nodiscard]] EventRef last(What what, std::uint64_t from_ns, std::uint64_t to_ns) const;

   private:
    std::array<std::vector<EventRef>, static_cast<std::size_t>(What::kCount)> by_what_;  // by time
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

// `flow` is null if the host saw nothing of the connection. First and last node are seen.
[[nodiscard]] std::vector<Node> build_chain(const GuestCycle& cycle, const HostFlow* flow,
                                            const ChainContext& context);

// Without a guest in the trace: from the SYN's arrival to the reply's publication. Empty if the flow has no
// beginning or no end in the trace. A tap device (glassbox netns) has no interrupts.
[[nodiscard]] std::vector<Node> build_host_chain(const HostFlow& flow, bool has_irqs);

}  // namespace glassbox::trace
