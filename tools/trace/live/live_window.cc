#include "tools/trace/live/live_window.h"

#include <algorithm>

namespace glassbox::trace {
namespace {

// Events arrive up to one poll of the ring late, and not quite in order: a cycle counts once its end is this
// old.
constexpr std::int64_t kSettleNs = 100'000'000;
// How long events are kept beyond the window, for cycles that began before it and end in it.
constexpr std::int64_t kSlackNs = 2'000'000'000;

LiveFigures figures(const Attribution& a, std::int64_t from_ns, std::int64_t to_ns) {
  Attribution in;
  in.applies = a.applies;
  for (const CycleResult& c : a.cycles)
    if (c.end_ns > from_ns && c.end_ns <= to_ns) in.cycles.push_back(c);
  LiveFigures f;
  f.cycles = in.cycles.size();
  f.per_second = static_cast<double>(f.cycles) * 1e9 / static_cast<double>(to_ns - from_ns);
  double total = 0, unattributed = 0;
  std::vector<std::int64_t> totals;
  for (const CycleResult& c : in.cycles) {
    totals.push_back(c.total_ns());
    total += static_cast<double>(c.total_ns());
    unattributed += static_cast<double>(c.unattributed_ns);
  }
  f.total = percentiles(std::move(totals));
  if (total > 0) f.unattributed_share = unattributed / total;
  for (std::size_t k = 0; k < kSegments; ++k)
    if (const SegmentRow row = make_row(in, static_cast<Segment>(k), total); row.seen)
      f.segments.push_back(row);
  return f;
}

std::string longest_segment(const CycleResult& c) {
  const auto longest = std::max_element(c.segment_ns.begin(), c.segment_ns.end());
  if (*longest < c.unattributed_ns) return "unattributed";
  return std::string(segment_info(static_cast<Segment>(longest - c.segment_ns.begin())).id);
}

}  // namespace

LiveWindow::LiveWindow(nlohmann::json info, std::vector<bpf::Hook> hooks, std::size_t most_events)
    : most_events_(most_events) {
  trace_.info = std::move(info);
  trace_.host.hooks = std::move(hooks);
}

void LiveWindow::add(const gb_event& event) {
  ++seen_;
  events_.push_back(event);
  if (events_.size() <= most_events_) return;
  events_.pop_front();
  ++discarded_;
  cut_ = true;
}

// The ring is nearly in order of time: an event behind a later one is discarded a moment later.
void LiveWindow::discard(std::int64_t before_ns) {
  while (!events_.empty() && static_cast<std::int64_t>(events_.front().ts_ns) < before_ns) {
    events_.pop_front();
    ++discarded_;
  }
}

LiveSnapshot LiveWindow::snapshot(std::int64_t now_ns, std::uint64_t drops) {
  discard(now_ns - kWindowNs - kSlackNs);
  trace_.host.events.assign(events_.begin(), events_.end());
  std::stable_sort(trace_.host.events.begin(), trace_.host.events.end(),
                   [](const gb_event& a, const gb_event& b) { return a.ts_ns < b.ts_ns; });
  const ClockReport no_guest;
  const Attribution a = attribute(trace_, no_guest);
  const std::int64_t settled = now_ns - kSettleNs;
  for (const CycleResult& c : a.cycles) {
    if (c.end_ns <= counted_to_ns_ || c.end_ns > settled) continue;
    ++cycles_;
    if (c.total_ns() <= slowest_ns_) continue;
    slowest_ns_ = c.total_ns();
    slowest_where_ = longest_segment(c);
  }
  counted_to_ns_ = std::max(counted_to_ns_, settled);
  LiveSnapshot s;
  s.cycles = cycles_;
  s.last_second = figures(a, settled - kShortNs, settled);
  s.last_ten = figures(a, settled - kWindowNs, settled);
  s.events = seen_;
  s.discarded = discarded_;
  s.window_cut = std::exchange(cut_, false);
  s.drops = drops;
  s.slowest_ns = slowest_ns_;
  s.slowest_where = slowest_where_;
  s.verdicts = compute_verdicts(trace_, no_guest, a, CycleStates(trace_, no_guest));
  trace_.host.events.clear();
  return s;
}

}  // namespace glassbox::trace
