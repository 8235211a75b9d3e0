#include "tools/trace/path/attribute.h"

#include <algorithm>
#include <unordered_set>

#include "tools/trace/file/kinds.h"
#include "tools/trace/path/chain.h"
#include "tools/trace/path/flows.h"
#include "tools/trace/path/inbound.h"

namespace glassbox::trace {
namespace {

// Notes which segments the chain could contain, and which of them had both boundaries seen. Nodes i < j may
// be neighbours if every node between them is optional.
void note_segments(const std::vector<Node>& chain, CycleResult& result,
                   std::array<bool, kSegments>& applies) {
  const auto there = [](const Node& n) { return (n.at_ns.has_value() && !n.implied) || n.known_early; };
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (chain[i].evidence_only) continue;
    bool seen = there(chain[i]);
    for (std::size_t j = i + 1; j < chain.size(); ++j) {
      if (chain[j].evidence_only) continue;
      const Segment segment = segment_of(chain[i].slot, chain[j].slot);
      if (segment != Segment::kUnattributed) {
        applies[static_cast<std::size_t>(segment)] = true;
        if (seen && there(chain[j])) result.segment_seen[static_cast<std::size_t>(segment)] = true;
      }
      if (!chain[j].optional) break;
    }
  }
}

std::uint32_t first_tid(std::initializer_list<EventRef> events) {
  for (const EventRef e : events)
    if (e != nullptr) return e->tid;
  return 0;
}

// The result of one chain. `flow` is null if the host saw nothing of the cycle.
CycleResult resolve(std::vector<Node> chain, CycleKind kind, const HostFlow* flow, Attribution& out) {
  CycleResult result;
  result.kind = kind;
  if (flow != nullptr) {
    result.flow = flow->flow;
    result.net_tid = first_tid({flow->syn, flow->connect_begin, flow->request_sent, flow->reply_recv});
    result.server_tid = first_tid({flow->read, flow->read_enter, flow->write_enter, flow->accept});
  }
  note_segments(chain, result, out.applies);
  result.begin_ns = *chain.front().at_ns;
  result.end_ns = *chain.back().at_ns;
  result.path = resolve_path(std::move(chain));
  for (const Step& step : result.path.steps) {
    const std::int64_t ns = step.end_ns - step.begin_ns;
    if (step.segment == Segment::kUnattributed)
      result.unattributed_ns += ns;
    else
      result.segment_ns[static_cast<std::size_t>(step.segment)] += ns;
  }
  return result;
}

// Whether the path has interrupts at all: a tap device raises none, a VM's network card does, even if the
// trace lacks their events.
bool has_interrupts(const Trace& trace) {
  const auto machine = trace.info.find("machine");
  if (machine != trace.info.end() && machine->is_object())
    if (const auto kind = machine->find("kind"); kind != machine->end()) return *kind != "none";
  return kinds_seen(trace)[GB_KIND_irq_raise];
}

void attribute_host_only(const HostFlows& flows, bool has_irqs, Attribution& out) {
  for (const HostFlow& flow : flows.flows()) {
    if (flow.inbound) continue;
    auto chain = build_host_chain(flow, has_irqs);
    if (chain.empty() || *chain.front().at_ns > *chain.back().at_ns)
      ++out.incomplete;
    else
      out.cycles.push_back(resolve(std::move(chain), CycleKind::kHostOnly, &flow, out));
  }
}

// `servers` is null if the guest was not traced.
void attribute_inbound(const HostFlows& flows, const GuestServers* servers, const ChainContext& context,
                       bool has_irqs, Attribution& out) {
  for (const HostFlow& flow : flows.flows()) {
    if (!flow.inbound) continue;
    auto chain = build_inbound_chain(flow, servers, context, has_irqs);
    if (chain.empty() || *chain.front().at_ns > *chain.back().at_ns)
      ++out.incomplete;
    else
      out.cycles.push_back(resolve(std::move(chain), CycleKind::kInbound, &flow, out));
  }
}

void attribute_guest_cycles(const GuestCycles& found, const HostFlows& flows, const ChainContext& context,
                            Attribution& out) {
  out.incomplete = found.incomplete;
  std::unordered_set<std::uint64_t> claimed;  // flows
  for (const GuestCycle& cycle : found.complete) {
    const GuestConnection& c = cycle.connection;
    const std::int64_t begin = context.clock.to_host(static_cast<std::int64_t>(c.first_ns));
    const std::int64_t end = context.clock.to_host(static_cast<std::int64_t>(c.last_ns));
    const std::int64_t slack = context.clock.at(begin).half_width_ns() + 1;
    const HostFlow* flow = flows.find(c.ports(), begin - slack, end + slack);
    // A guest may report one connection many times: the host's work for it counts once.
    if (flow != nullptr && claimed.contains(flow->flow)) flow = nullptr;
    auto chain = build_chain(cycle, flow, context);
    if (chain.size() < 2 || !chain.front().at_ns || *chain.front().at_ns > *chain.back().at_ns) {
      ++out.incomplete;
      continue;
    }
    if (flow == nullptr)
      ++out.without_flow;
    else
      claimed.insert(flow->flow);
    out.cycles.push_back(resolve(std::move(chain), cycle.kind, flow, out));
  }
}

}  // namespace

Attribution attribute(const Trace& trace, const ClockReport& clock) {
  Attribution out;
  const HostFlows flows(trace);
  const KindsSeen seen = kinds_seen(trace);
  const bool placed = !trace.guest.events.empty() && clock.hull;
  const GuestCycles found = placed ? find_guest_cycles(trace) : GuestCycles{};
  if (found.complete.empty() && found.incomplete == 0) {
    const bool has_irqs = has_interrupts(trace);
    attribute_host_only(flows, has_irqs, out);
    const ClockHull no_clock({});
    const GuestFrames no_frames{Trace{}};
    attribute_inbound(flows, nullptr, {no_clock, no_frames, seen}, has_irqs, out);
    return out;
  }
  const GuestFrames frames(trace);
  const ChainContext context{*clock.hull, frames, seen};
  attribute_guest_cycles(found, flows, context, out);
  const GuestServers servers(trace);
  attribute_inbound(flows, &servers, context, true, out);
  return out;
}

}  // namespace glassbox::trace
