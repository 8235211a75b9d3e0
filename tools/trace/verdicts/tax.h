// The cost of tracing to the cycles of a trace. The time lies inside the rows of the table, so it is printed
// below the table and not as a row. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {

// The criterion of the verdict probe_tax.
inline constexpr double kTaxShare = 0.10;

struct ProbeTax {
  double hits_per_cycle = 0;           // USDT hits within the cycles, on all threads
  std::optional<std::int64_t> hit_ns;  // cost of a hit, measured when the recording began (meta "probe_cost")
  std::optional<double> ns_per_cycle;  // hits_per_cycle x hit_ns
  std::optional<double> share;         // of the cycles' time
  // The same workload with and without tracing in one run, by the client's own clock (meta "tracing_cost").
  // It covers all of tracing; the figures above cover the host's USDT hits only.
  struct Comparison {
    std::uint64_t traced_n = 0, untraced_n = 0;
    std::int64_t traced_p50_ns = 0, untraced_p50_ns = 0;
    std::optional<std::int64_t> difference_ns, low_ns, high_ns;  // empty: too few cycles
    double confidence = 0;
  };
  std::optional<Comparison> compared;  // empty: `record` ran without the bench
};
inline constexpr std::string_view kNotCompared =
    "the trace has no untraced cycles to compare with (glassbox-bench crr --trace runs them)";

[[nodiscard]] ProbeTax probe_tax(const Trace& trace, const Attribution& cycles);

[[nodiscard]] Verdict probe_tax_verdict(const ProbeTax& tax, const Attribution& cycles);

}  // namespace glassbox::trace
