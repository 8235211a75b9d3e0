#include "tools/trace/file/records.h"

#include <algorithm>
#include <numeric>

#include "tools/trace/file/kinds.h"

namespace glassbox::trace {
namespace {

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void count_impossible(const gb_event& event, Side& side) {
  ++side.impossible_records;
  ++side.impossible_by_event[std::string(kind_name(event.kind))];
}

}  // namespace

std::uint64_t Side::lost() const {
  // A gap in the sequence counts every event that did not arrive, whatever the reason. The recorder's
  // counters describe the same losses from the other end, so the larger of the two counts. Misses are added:
  // a program that did not run took no number, so its event leaves no gap.
  std::uint64_t reported = 0, missed = 0;
  for (const auto& [name, count] : drops) {
    if (name == "own_events" || is_share(name)) continue;
    std::uint64_t& sum = name.ends_with("misses") ? missed : reported;
    sum = saturating_add(sum, count);
  }
  return saturating_add(std::max(reported, sequence_gaps), saturating_add(missed, impossible_records));
}

bool plausible(const gb_event& event, Origin origin) {
  if (event.version != GB_EVENT_VERSION || event.ts_ns >= kMaxTimeNs || event.ts_ns == 0) return false;
  if (kind_name(event.kind) == "?") return false;
  if (origin == Origin::kHost) return is_host_kind(event.kind) && event.cpu < kMaxCpus;
  if (!is_guest_kind(event.kind)) return false;
  const bool agent = is_agent_kind(event.kind);
  return ((event.cpu & kAgentCpuBit) != 0) == agent && (event.cpu & ~kAgentCpuBit) < kMaxCpus;
}

void take_records(std::span<const gb_event> raw, Origin origin, Side& side) {
  for (const gb_event& event : raw) {
    if (plausible(event, origin))
      side.events.push_back(event);
    else
      count_impossible(event, side);
  }
}

void check_sequences(Side& side) {
  auto& events = side.events;
  std::vector<std::uint32_t> order(events.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return events[a].cpu != events[b].cpu ? events[a].cpu < events[b].cpu : events[a].seq < events[b].seq;
  });
  std::vector<bool> twice(events.size(), false);
  for (std::size_t k = 0; k < order.size(); ++k) {
    const gb_event& event = events[order[k]];
    const bool first = k == 0 || events[order[k - 1]].cpu != event.cpu;
    if (first) {
      side.sequence_gaps = saturating_add(side.sequence_gaps, event.seq);
    } else if (const std::uint64_t before = events[order[k - 1]].seq; before == event.seq) {
      twice[order[k]] = true;
      count_impossible(event, side);
    } else {
      side.sequence_gaps = saturating_add(side.sequence_gaps, event.seq - before - 1);
    }
  }
  std::size_t kept = 0;
  for (std::size_t k = 0; k < events.size(); ++k)
    if (!twice[k]) events[kept++] = events[k];
  events.resize(kept);
  std::stable_sort(events.begin(), events.end(),
                   [](const gb_event& a, const gb_event& b) { return a.ts_ns < b.ts_ns; });
}

}  // namespace glassbox::trace
