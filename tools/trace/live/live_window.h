// The figures of `glassbox-trace live`: the last seconds of a running process.
//
// Theory of operation. The window keeps the host's events of the last kWindowNs, and of two seconds more, so
// that the beginning of a cycle is still there when its end is evaluated. Each snapshot runs the attribution
// of a report over them. Older events are discarded. Memory is bounded by the window, and by kMostEvents
// where events arrive faster than that; the snapshot then says that the window is shorter.
//
// The host's side only: a cycle lasts from the arrival of the SYN to the publication of the reply (or, to a
// published port, from the peer's connect() to its reply). The guest's agent sends its events when the
// workload is over, so the guest's side needs `record`.
//
// Pure: no clock and no I/O of its own. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/report/report.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {

// The cycles that ended within a span of time.
struct LiveFigures {
  std::size_t cycles = 0;
  double per_second = 0;
  Percentiles total;
  std::vector<SegmentRow> segments;  // only those that were seen, in path order
  std::optional<double> unattributed_share;
};

struct LiveSnapshot {
  std::uint64_t cycles = 0;  // since the beginning
  LiveFigures last_second, last_ten;
  std::uint64_t events = 0, discarded = 0;  // since the beginning; discarded: older than the window
  bool window_cut = false;                  // events arrived too fast to keep the whole window
  std::uint64_t drops = 0;
  // The slowest cycle since the beginning, and the segment that took most of it. 0: no cycle yet.
  std::int64_t slowest_ns = 0;
  std::string slowest_where;
  std::vector<Verdict> verdicts;  // on the window
};

class LiveWindow {
 public:
  static constexpr std::int64_t kShortNs = 1'000'000'000, kWindowNs = 10'000'000'000;
  static constexpr std::size_t kMostEvents = 500'000;

  // `info` is a trace's info object; `hooks` says what was attached, as in Side::hooks.
  explicit LiveWindow(nlohmann::json info, std::vector<bpf::Hook> hooks = {},
                      std::size_t most_events = kMostEvents);

  // `event` is one of the host; roughly in order of time.
  void add(const gb_event& event);
  // The figures at host time now_ns (CLOCK_MONOTONIC), which must not decrease from call to call. `drops` is
  // the number of lost events since the beginning.
  [[nodiscard]] LiveSnapshot snapshot(std::int64_t now_ns, std::uint64_t drops);
  // How many events are in memory.
  [[nodiscard]] std::size_t held() const { return events_.size(); }

 private:
  void discard(std::int64_t before_ns);

  Trace trace_;  // holds the window's events during snapshot(), none otherwise
  std::deque<gb_event> events_;
  std::size_t most_events_;
  std::int64_t counted_to_ns_ = 0;  // cycles that ended before have been counted
  std::uint64_t cycles_ = 0, seen_ = 0, discarded_ = 0;
  bool cut_ = false;
  std::int64_t slowest_ns_ = 0;
  std::string slowest_where_;
};

// A line for a log, a page for a terminal, an object for a program (FORMAT.md).
[[nodiscard]] std::string format_live_line(const LiveSnapshot& snapshot);
[[nodiscard]] std::string format_live_page(const LiveSnapshot& snapshot, std::string_view title);
[[nodiscard]] nlohmann::json to_json(const LiveSnapshot& snapshot);

}  // namespace glassbox::trace
