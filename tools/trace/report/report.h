// The report: the figures that a trace yields about its cycles, and their views: a table, a table of states,
// a JSON object.
//
// make_report() computes every figure once; a view only formats what the report holds, so that all views
// agree to the digit. To add a view, write a function of a Report. Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/trace/clock/clock_check.h"
#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/report/losses.h"
#include "tools/trace/report/rows.h"
#include "tools/trace/verdicts/tax.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {

// The version of report.schema.json that to_json() follows.
inline constexpr int kReportSchema = 1;

// Holds text from the guest and from the file as it was recorded; views pass it through printable().
struct Report {
  std::string title;
  nlohmann::json machine, workload, client;    // as recorded; null where unknown
  std::optional<std::int64_t> clock_bound_ns;  // empty: the two clocks could not be aligned
  std::size_t exchanges = 0, frames = 0;       // constraints on the clocks, by source
  std::size_t violations = 0;                  // constraints that contradict others
  std::optional<std::string> violation;        // the pair that contradicts itself most
  std::vector<VcpuClock> vcpu_clocks;
  ClockChecks clock_checks;
  std::uint64_t drops_host = 0, drops_guest = 0;   // events that are missing
  std::vector<LossRow> losses_host, losses_guest;  // the guest's are empty where it was not traced
  std::vector<SegmentRow> segments;                // all, in path order
  std::optional<double> unattributed_share;
  Percentiles total;
  std::size_t complete = 0, incomplete = 0;  // cycles; incomplete ones are in no other figure
  std::size_t without_flow = 0;              // complete in the guest, not seen by the host
  std::vector<bpf::Hook> hooks_host, hooks_guest;
  std::vector<std::string> notes;
  ProbeTax tax;
  std::vector<Verdict> verdicts;
};

[[nodiscard]] Report make_report(const Trace& trace);

// The table, as `glassbox-trace report` prints it.
[[nodiscard]] std::string format_table(const Report& report);
// `report --states`: each row split by what the thread that acts in it did meanwhile.
[[nodiscard]] std::string format_states(const Report& report);
// The object that report.schema.json describes.
[[nodiscard]] nlohmann::json to_json(const Report& report);

// "hardware KVM, <cpu>, <kernel>", from a trace's machine object. On machines whose absolute times do not
// hold it says so.
[[nodiscard]] std::string describe_machine(const nlohmann::json& machine);

}  // namespace glassbox::trace
