// What `glassbox-trace live` shows: the last seconds of a running process, again and again.
//
// Theory of operation. The host's events of the last kWindowNs, and of a little more so that a cycle's
// beginning is there when its end is looked at, are kept; at each look the same attribution as a report's
// goes over them. What came before is let go, so that memory is bounded by the window, and by kMostEvents
// where events come faster than that; it is then said that the window is shorter.
//
// The host's side only: a cycle is from the SYN's arrival to the reply's publication (or, to a published
// port, from the peer's connect() to its reply). The guest's agent holds its events back while the workload
// runs, which `record` is for.
//
// Pure: no clock and no I/O of its own. Thread: one.
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

// Cycles that ended in some span.
struct LiveFigures {
  std::size_t cycles = 0;
  double per_second = 0;
  Percentiles total;
  std::vector<SegmentRow> segments;  // those that were seen, in path order
  std::optional<double> unattributed_share;
};

struct LiveSnapshot {
  std::uint64_t cycles = 0;  // since the beginning
  LiveFigures last_second, last_ten;
  std::uint64_t events = 0, let_go = 0;
  bool window_cut = false;  // events came too fast for the whole window
  std::uint64_t drops = 0;
  // The slowest cycle so far, and the segment that took most of it.
  std::int64_t slowest_ns = 0;
  std::string slowest_where;
  std::vector<Verdict> verdicts;  // of the window
};

class LiveWindow {
 public:
  static constexpr std::int64_t kShortNs = 1'000'000'000, kWindowNs = 10'000'000'000;
  static constexpr std::size_t kMostEvents = 500'000;

  // `info` is a trace's; `hooks` say what was attached.
  explicit LiveWindow(nlohmann::json info, std::vector<bpf::Hook> hooks = {},
                      std::size_t most_events = kMostEvents);

  void add(const gb_event& event);
  // At host time now_ns; later calls have later times. `drops` is cumulative.
  [[nodiscard]] LiveSnapshot look(std::int64_t now_ns, std::uint64_t drops);
  [[nodiscard]] std::size_t held() const { return events_.size(); }

 private:
  void let_go(std::int64_t before_ns);

  Trace trace_;  // its events are the window's, while it is looked at
  std::deque<gb_event> events_;
  std::size_t most_events_;
  std::int64_t counted_to_ns_ = 0;  // cycles that ended by then have been counted
  std::uint64_t cycles_ = 0, seen_ = 0, let_go_ = 0;
  bool cut_ = false;
  std::int64_t slowest_ns_ = 0;
  std::string slowest_where_;
};

// One line for a log; a page for a terminal; an object for a program.
[[nodiscard]] std::string format_live_line(const LiveSnapshot& snapshot);
[[nodiscard]] std::string format_live_page(const LiveSnapshot& snapshot, std::string_view title);
[[nodiscard]] nlohmann::json to_json(const LiveSnapshot& snapshot);

}  // namespace glassbox::trace
