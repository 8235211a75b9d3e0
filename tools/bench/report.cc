#include "tools/bench/report.h"

#include <cmath>

namespace glassbox::bench {

std::string format_time(std::optional<std::uint64_t> ns) {
  if (!ns) return "-";
  const double us = static_cast<double>(*ns) / 1e3;
  const auto digits = [](double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; };
  if (us < 999.5) return fmt::format("{:.{}f} us", us, digits(us));
  const double ms = us / 1e3;
  if (ms < 999.5) return fmt::format("{:.{}f} ms", ms, digits(ms));
  return fmt::format("{:.{}f} s", ms / 1e3, digits(ms / 1e3));
}

std::string headline(const CrrSpec& spec) {
  return fmt::format(
      "{} crr: {} cycles, {}, {}", name(spec.stack), spec.cycles,
      spec.workload == WorkloadKind::kFork ? "one process per cycle" : "one process for all cycles",
      describe(spec.server));
}

std::string text_report(const CrrResult& result, const Summary& summary, const std::string& machine) {
  std::string text = headline(result.spec) + "\nmachine: " + machine + "\n";
  text +=
      fmt::format("client's own clock, untraced, after {} warm-up cycles: n {}, p50 {}, p90 {}",
                  result.spec.warm_up, summary.n, format_time(summary.p50_ns), format_time(summary.p90_ns));
  if (summary.p99_ns) text += fmt::format(", p99 {}", format_time(summary.p99_ns));
  if (summary.p999_ns) text += fmt::format(", p99.9 {}", format_time(summary.p999_ns));
  text += fmt::format(", max {}\n", format_time(summary.max_ns));
  if (const auto& interval = summary.median_interval) {
    text += fmt::format("the median lies between {} and {} (order statistics, {:.1f} %)\n",
                        format_time(interval->low_ns), format_time(interval->high_ns),
                        interval->confidence * 100);
  }
  return text;
}

}  // namespace glassbox::bench
