// The report: what a trace says about its cycles, as figures; then as a table or as JSON.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/trace/clock/clock_check.h"
#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/path/cycle_states.h"
#include "tools/trace/verdicts/tax.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {

inline constexpr int kReportSchema = 1;  // report.schema.json
// From fewer cycles, no p99: ten have to lie beyond it.
inline constexpr std::size_t kCyclesForP99 = 1000;

// Nearest-rank: always a value that was measured.
struct Percentiles {
  std::optional<std::int64_t> p50_ns, p90_ns, p99_ns;
};
[[nodiscard]] Percentiles percentiles(std::vector<std::int64_t> values_ns);

struct SegmentRow {
  Segment segment{};
  bool applies = false;  // it belongs to the path of this workload
  bool seen = false;     // its boundaries were seen; if not, there are no figures
  Percentiles percentiles;
  std::optional<double> share;
  std::int64_t bound_ns = 0;  // of a cross row: what the clocks leave open, worst over the cycles
  // Where the trace has scheduling events of who acts in it: mean over the cycles that have the row.
  std::optional<StateSplit> mean_states_ns;
};

// Of the cycles that have the segment; total_ns is of all cycles. Without states.
[[nodiscard]] SegmentRow make_row(const Attribution& cycles, Segment segment, double total_ns);

// One counter of what one side lost, and what of it is of which event or hook, as far as that is known.
struct LossRow {
  std::string_view id, label;
  std::optional<std::uint64_t> count;  // none: this recording did not count it
  DropCounters by;
};

struct Report {
  std::string title;
  nlohmann::json machine, workload, client;  // as recorded; null where unknown
  std::optional<std::int64_t> clock_bound_ns;
  std::size_t exchanges = 0, frames = 0, violations = 0;
  std::optional<std::string> violation;  // the worst pair, named
  std::vector<VcpuClock> vcpu_clocks;
  ClockChecks clock_checks;
  std::uint64_t drops_host = 0, drops_guest = 0;
  std::vector<LossRow> losses_host, losses_guest;  // the guest's are empty where it was not traced
  std::vector<SegmentRow> segments;                // all, in path order
  std::optional<double> unattributed_share;
  Percentiles total;
  std::size_t complete = 0, incomplete = 0, without_flow = 0;
  std::vector<bpf::Hook> hooks_host, hooks_guest;
  std::vector<std::string> notes;
  ProbeTax tax;
  std::vector<Verdict> verdicts;
};

[[nodiscard]] Report make_report(const Trace& trace);

[[nodiscard]] std::string format_table(const Report& report);
// "lost on the host: 3 failed reserves (rx_inject 3), 0 recursion misses, ..."
[[nodiscard]] std::vector<LossRow> loss_rows(const Side& side, Where where);
[[nodiscard]] std::string format_losses(const Report& report);
[[nodiscard]] nlohmann::json losses_json(const Report& report);
// The rows, split by what who had to act did meanwhile.
[[nodiscard]] std::string format_states(const Report& report);
[[nodiscard]] nlohmann::json to_json(const Report& report);

// Control characters and anything but ASCII as '?': text that a guest or a file gave goes to a terminal.
[[nodiscard]] std::string printable(std::string_view text);
// What is beyond 64 bits becomes the most they hold.
[[nodiscard]] std::int64_t whole_ns(double ns);
// "8.51 ms", "71.0 us": three significant digits; "-" for what may not be stated.
[[nodiscard]] std::string format_time(std::optional<std::int64_t> ns);
[[nodiscard]] std::string describe_machine(const nlohmann::json& machine);

}  // namespace glassbox::trace
