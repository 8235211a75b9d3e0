#include "tools/trace/verdicts/tax.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

constexpr std::uint16_t kFirstKernelKind = 64;  // kinds below are USDT probes

std::optional<std::int64_t> recorded_cost(const Trace& trace) {
  const auto cost = trace.meta.find("probe_cost");
  if (cost == trace.meta.end() || !cost->is_object()) return {};
  const auto ns = cost->find("hit_ns");
  if (ns == cost->end() || !ns->is_number_integer()) return {};
  const auto value = ns->get<std::int64_t>();
  // A file may claim anything: believe only costs below a second.
  return value > 0 && value < 1'000'000'000 ? std::optional(value) : std::nullopt;
}

// The member in ns; empty if it is missing or cannot be the time of a cycle.
std::optional<std::int64_t> time_of(const nlohmann::json& object, const char* key) {
  constexpr double kMostUs = 1e12;
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return {};
  const auto us = it->get<double>();
  return std::abs(us) <= kMostUs ? std::optional(std::llround(us * 1e3)) : std::nullopt;
}

std::optional<ProbeTax::Comparison> recorded_comparison(const Trace& trace) {
  const auto cost = trace.meta.find("tracing_cost");
  if (cost == trace.meta.end() || !cost->is_object()) return {};
  const auto count = [&cost](const char* key) -> std::uint64_t {
    const auto it = cost->find(key);
    return it != cost->end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
  };
  const auto traced = time_of(*cost, "traced_p50_us"), untraced = time_of(*cost, "untraced_p50_us");
  ProbeTax::Comparison c;
  c.traced_n = count("traced_n");
  c.untraced_n = count("untraced_n");
  if (!traced || !untraced || c.traced_n == 0 || c.untraced_n == 0) return {};
  c.traced_p50_ns = *traced;
  c.untraced_p50_ns = *untraced;
  const auto difference = time_of(*cost, "difference_us"), low = time_of(*cost, "low_us"),
             high = time_of(*cost, "high_us");
  const auto confidence = cost->find("confidence");
  if (difference && low && high && confidence != cost->end() && confidence->is_number()) {
    c.difference_ns = difference;
    c.low_ns = low;
    c.high_ns = high;
    c.confidence = std::clamp(confidence->get<double>(), 0.0, 1.0);
  }
  return c;
}

}  // namespace

ProbeTax probe_tax(const Trace& trace, const Attribution& a) {
  ProbeTax tax;
  tax.compared = recorded_comparison(trace);
  if (a.cycles.empty()) return tax;
  std::vector<std::int64_t> hits;  // by time, as the events are
  for (const gb_event& e : trace.host.events)
    if (e.kind < kFirstKernelKind) hits.push_back(static_cast<std::int64_t>(e.ts_ns));
  double count = 0, total = 0;
  for (const CycleResult& c : a.cycles) {
    const auto from = std::lower_bound(hits.begin(), hits.end(), c.begin_ns);
    count += static_cast<double>(std::upper_bound(from, hits.end(), c.end_ns) - from);
    total += static_cast<double>(c.total_ns());
  }
  const auto cycles = static_cast<double>(a.cycles.size());
  tax.hits_per_cycle = count / cycles;
  tax.hit_ns = recorded_cost(trace);
  if (tax.hit_ns) {
    tax.ns_per_cycle = tax.hits_per_cycle * static_cast<double>(*tax.hit_ns);
    if (total > 0) tax.share = *tax.ns_per_cycle * cycles / total;
  }
  return tax;
}

Verdict probe_tax_verdict(const ProbeTax& tax, const Attribution& a) {
  Verdict v{
      .id = "probe_tax",
      .claim = "the probes take a large part of the cycle",
      .criterion = fmt::format("USDT hits x measured cost >= {:.0f} % of the cycles' time", kTaxShare * 100),
      .evidence = {}};
  if (a.cycles.empty()) {
    v.evidence = "no complete cycle in the trace";
  } else if (!tax.share) {
    v.evidence = "missing: the cost of a hit, which the recorder measures";
  } else {
    v.outcome = *tax.share >= kTaxShare ? Outcome::kConfirmed : Outcome::kFalsified;
    v.evidence = fmt::format("{:.1f} % of the cycles' time, {:.1f} hits a cycle x {}", *tax.share * 100,
                             tax.hits_per_cycle, format_time(tax.hit_ns));
  }
  return v;
}

}  // namespace glassbox::trace
