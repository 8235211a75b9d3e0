// Builds a chain of nodes, one per boundary, with guest times mapped to the host's clock. The base of the
// builders in chain.cc and inbound.cc. Call its functions in causal order; then take `nodes`.
#pragma once

#include <algorithm>

#include "tools/trace/path/chain.h"

namespace glassbox::trace {

class ChainBuilder {
 public:
  explicit ChainBuilder(const ChainContext& context) : context_(context) {}

  void add(Slot slot, Lane lane, EventRef e, bool optional = false) {
    Node node;
    node.slot = slot;
    node.lane = lane;
    node.optional = optional;
    if (e != nullptr) {
      node.tid = e->tid;
      node.cpu = e->cpu;
      place(node, e->ts_ns);
    }
    nodes.push_back(node);
  }
  // A boundary at an end of the cycle. If its event was lost, `ns` states its time from another event; 0:
  // unknown.
  void add_bound(Slot slot, Lane lane, EventRef e, std::uint64_t ns) {
    add(slot, lane, e);
    if (e != nullptr || ns == 0) return;
    place(nodes.back(), ns);
    nodes.back().implied = true;
  }
  void add_optional(Slot slot, Lane lane, EventRef e) { add(slot, lane, e, true); }
  // A suppressed interrupt is not a boundary: the guest was polling the queue.
  void add_irq(Slot slot, Lane lane, EventRef e) {
    const bool suppressed = e != nullptr && args::irq_raise(*e).suppressed != 0;
    add_optional(slot, lane, suppressed ? nullptr : e);
    nodes.back().known_early = suppressed;
  }
  void add_evidence(Slot slot, Lane lane, EventRef e) {
    if (e == nullptr) return;
    add(slot, lane, e);
    nodes.back().evidence_only = true;
  }

  // The guest's interrupt for a frame that was published at `inject` (or after `queued`): the last interrupt
  // before the frame was received. A guest that polls takes the frame without one.
  void add_guest_irq(Slot slot, Lane lane, EventRef queued, EventRef inject, EventRef irq, EventRef receive) {
    if (irq != nullptr && args::irq_raise(*irq).suppressed != 0) return add_early(slot, lane, true);
    const EventRef from = inject != nullptr ? inject : queued;
    if (from == nullptr || receive == nullptr) return add_early(slot, lane, false);
    const auto at = static_cast<std::int64_t>(from->ts_ns);
    const auto earliest =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, at + context_.clock.at(at).lo_ns));
    const EventRef taken = context_.frames.irq(earliest, receive->ts_ns);
    if (taken == nullptr) return add_early(slot, lane, context_.seen[GB_KIND_guest_irq]);
    add_optional(slot, lane, taken);
  }
  void add_early(Slot slot, Lane lane, bool known) {
    add_optional(slot, lane, nullptr);
    nodes.back().known_early = known;
  }

  std::vector<Node> nodes;

 protected:
  [[nodiscard]] const ChainContext& context() const { return context_; }

 private:
  void place(Node& node, std::uint64_t ns) const {
    node.at_ns = static_cast<std::int64_t>(ns);
    if (!is_guest_slot(node.slot)) return;
    node.at_ns = context_.clock.to_host(*node.at_ns);
    node.slack_ns = std::max<std::int64_t>(1, context_.clock.at(*node.at_ns).half_width_ns());
  }

  const ChainContext& context_;
};

}  // namespace glassbox::trace
