// The probes' own tax: what being traced cost the cycles of a trace. A memo beside the table, not a row of
// it: the time lies inside the rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/attribute.h"
#include "tools/trace/verdicts/verdicts.h"

namespace glassbox::trace {

inline constexpr double kTaxShare = 0.10;

struct ProbeTax {
  double hits_per_cycle = 0;           // USDT hits within the cycles, whichever thread
  std::optional<std::int64_t> hit_ns;  // as measured when the recording began (meta "probe_cost")
  std::optional<double> ns_per_cycle;  // hits x cost
  std::optional<double> share;         // of the cycles' time
  // The same workload with and without a trace, by the client's own clock, in one run (meta "tracing_cost").
  // This holds all of tracing, the other account the host's USDT hits alone.
  struct Comparison {
    std::uint64_t traced_n = 0, untraced_n = 0;
    std::int64_t traced_p50_ns = 0, untraced_p50_ns = 0;
    std::optional<std::int64_t> difference_ns, low_ns, high_ns;  // where there are cycles enough
    double confidence = 0;
  };
  std::optional<Comparison> compared;  // none where `record` ran alone
};
inline constexpr std::string_view kNotCompared =
    "no untraced cycles beside the trace (glassbox-bench crr --trace runs them)";

[[nodiscard]] ProbeTax probe_tax(const Trace& trace, const Attribution& cycles);

// "probes' tax: 31.0 hits a cycle x 0.81 us = 25.1 us, ..."; then what the comparison says
[[nodiscard]] std::string format_tax(const ProbeTax& tax);

[[nodiscard]] Verdict probe_tax_verdict(const ProbeTax& tax, const Attribution& cycles);

}  // namespace glassbox::trace
