#include "tools/bench/report/crr_report.h"

#include "tools/bench/report/describe.h"
#include "tools/trace/report/report.h"
#include "tools/trace/text/text.h"

namespace glassbox::bench {

namespace {

std::string time_text(std::optional<std::uint64_t> ns) {
  if (!ns) return "-";
  return trace::format_time(static_cast<std::int64_t>(*ns));
}

}  // namespace

std::string headline(const Spec& spec) {
  return fmt::format("{} crr: {} cycles, {}, {}", spec.stack(), spec.cycles,
                     spec.forks() ? "one process per cycle" : "one process for all cycles",
                     describe(spec.server));
}

std::string text_report(const CrrResult& result, const Summary& summary) {
  std::string text = headline(result.spec) + "\nmachine: " + trace::describe_machine(result.machine) + "\n";
  text += fmt::format("client's own clock, untraced, after {} warm-up cycles: n {}, p50 {}, p90 {}",
                      result.spec.warm_up, summary.n, time_text(summary.p50_ns), time_text(summary.p90_ns));
  if (summary.p99_ns) text += fmt::format(", p99 {}", time_text(summary.p99_ns));
  if (summary.p999_ns) text += fmt::format(", p99.9 {}", time_text(summary.p999_ns));
  text += fmt::format(", max {}\n", time_text(summary.max_ns));
  if (const auto& interval = summary.median_interval) {
    text +=
        fmt::format("the median lies between {} and {} (order statistics, {:.1f} %)\n",
                    time_text(interval->low_ns), time_text(interval->high_ns), interval->confidence * 100);
  }
  return text;
}

nlohmann::json json_report(const CrrResult& result, const Summary& summary) {
  trace::Report report;
  report.title = headline(result.spec);
  report.machine = result.machine;
  const nlohmann::json described = describe(result, summary);
  report.workload = described["workload"];
  report.client = described["client"];
  report.notes.emplace_back("not traced: the client's own times are all there is");
  return trace::to_json(report);
}

}  // namespace glassbox::bench
