#include "tools/trace/tax.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/trace/report.h"

namespace glassbox::trace {
namespace {

constexpr std::uint16_t kFirstKernelKind = 64;  // below are the USDT probes

std::optional<std::int64_t> recorded_cost(const Trace& trace) {
  const auto cost = trace.meta.find("probe_cost");
  if (cost == trace.meta.end() || !cost->is_object()) return {};
  const auto ns = cost->find("hit_ns");
  if (ns == cost->end() || !ns->is_number_integer()) return {};
  const auto value = ns->get<std::int64_t>();
  // A file may claim anything; a hit takes no second.
  return value > 0 && value < 1'000'000'000 ? std::optional(value) : std::nullopt;
}

}  // namespace

ProbeTax probe_tax(const Trace& trace, const Attribution& a) {
  ProbeTax tax;
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

std::string format_tax(const ProbeTax& tax) {
  std::string text =
      fmt::format("probes' tax (inside the rows): {:.1f} USDT hits a cycle", tax.hits_per_cycle);
  if (!tax.hit_ns) return text + ", cost of a hit not measured in this trace\n";
  text += fmt::format(" x {} = {}", format_time(tax.hit_ns),
                      format_time(static_cast<std::int64_t>(*tax.ns_per_cycle)));
  if (tax.share) text += fmt::format(", {:.1f} % of a cycle", *tax.share * 100);
  return text + "; kernel events and the guest's probes are not in it\n";
}

Verdict probe_tax_verdict(const ProbeTax& tax, const Attribution& a) {
  Verdict v{
      .id = "probe_tax",
      .claim = "the probes themselves are a large part",
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
