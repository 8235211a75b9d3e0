#include "tools/trace/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace glassbox::trace {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// Why cycles are the host's alone.
std::string_view why_host_only(const Trace& trace, const ClockReport& clock) {
  if (trace.guest.events.empty()) return "the guest was not traced";
  return clock.hull ? "the guest tells of no connection" : "the guest's events cannot be placed";
}

std::string make_title(const Attribution& a, const json& workload, std::string_view why_host_only) {
  if (std::string title = text_of(workload, "title"); !title.empty()) return title;
  std::string name = text_of(workload, "name");
  if (name.empty()) name = "trace";
  std::string title = fmt::format("glassbox {}: {} cycles", name, a.cycles.size());
  const auto fork = static_cast<std::size_t>(std::count_if(
      a.cycles.begin(), a.cycles.end(), [](const CycleResult& c) { return c.kind == CycleKind::kFork; }));
  const bool host_only = !a.cycles.empty() && a.cycles.front().kind == CycleKind::kHostOnly;
  const auto inbound = static_cast<std::size_t>(std::count_if(
      a.cycles.begin(), a.cycles.end(), [](const CycleResult& c) { return c.kind == CycleKind::kInbound; }));
  if (inbound > 0 && inbound == a.cycles.size())
    title += ", inbound";
  else if (inbound > 0)
    title += fmt::format(", {} of them inbound", inbound);
  else if (host_only)
    title += fmt::format(", host side only ({})", why_host_only);
  else if (fork == a.cycles.size())
    title += ", one process per cycle";
  else if (fork == 0)
    title += ", one process for all cycles";
  else
    title += fmt::format(", {} of them with a process of their own", fork);
  if (const std::string server = text_of(workload, "server"); !server.empty()) title += ", server " + server;
  return title;
}

void add_states(const Attribution& a, const CycleStates& states, SegmentRow& row) {
  if (!row.seen || !states.knows(actor_of(row.segment))) return;
  std::array<double, kThreadStates> sum{};  // a guest's times may add up to more than 64 bits hold
  double cycles = 0;
  for (const CycleResult& c : a.cycles) {
    if (!c.segment_seen[static_cast<std::size_t>(row.segment)]) continue;
    ++cycles;
    const StateSplit split = states.split(c, row.segment);
    for (std::size_t k = 0; k < kThreadStates; ++k)
      sum.at(k) += static_cast<double>(split.at(k));
  }
  StateSplit& mean = row.mean_states_ns.emplace();
  for (std::size_t k = 0; k < kThreadStates; ++k)
    mean.at(k) = whole_ns(sum.at(k) / cycles);
}

json object_or_null(const json& parent, const char* key) {
  const auto it = parent.find(key);
  return it != parent.end() && it->is_object() ? *it : json();
}

void take_clock(const ClockReport& clock, Report& r) {
  r.exchanges = clock.evidence.exchanges;
  r.frames = clock.evidence.frames;
  r.vcpu_clocks = clock.vcpus;
  if (!clock.hull) return;
  r.clock_bound_ns = clock.bound_ns;
  r.violations = clock.hull->violations();
  if (const auto& worst = clock.hull->worst_violation()) r.violation = worst->describe();
}

}  // namespace

Percentiles percentiles(std::vector<std::int64_t> values) {
  Percentiles out;
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  const auto rank = [&values](std::size_t percent) {
    return values[std::max<std::size_t>(1, (values.size() * percent + 99) / 100) - 1];
  };
  out.p50_ns = rank(50);
  out.p90_ns = rank(90);
  if (values.size() >= kCyclesForP99) out.p99_ns = rank(99);
  return out;
}

SegmentRow make_row(const Attribution& a, Segment segment, double total_ns) {
  SegmentRow row;
  row.segment = segment;
  const auto k = static_cast<std::size_t>(segment);
  row.applies = a.applies[k];
  std::vector<std::int64_t> values;
  double sum = 0;
  for (const CycleResult& c : a.cycles) {
    if (!c.segment_seen[k]) continue;
    values.push_back(c.segment_ns[k]);
    sum += static_cast<double>(c.segment_ns[k]);
    for (const Step& step : c.path.steps)
      if (step.segment == segment) row.bound_ns = std::max(row.bound_ns, step.bound_ns);
  }
  row.seen = !values.empty();
  if (!row.seen) return row;
  row.percentiles = percentiles(std::move(values));
  if (total_ns > 0) row.share = sum / total_ns;
  return row;
}

Report make_report(const Trace& trace) {
  const ClockReport clock = derive_clock(trace);
  const Attribution a = attribute(trace, clock);
  Report r;
  r.workload = object_or_null(trace.meta, "workload");
  r.client = object_or_null(trace.meta, "client");
  r.machine = object_or_null(trace.info, "machine");
  r.title = make_title(a, r.workload, why_host_only(trace, clock));
  take_clock(clock, r);
  r.clock_checks = check_clocks(trace, clock.hull ? &*clock.hull : nullptr);
  r.drops_host = trace.host.lost();
  r.drops_guest = trace.guest.lost();
  r.losses_host = loss_rows(trace.host, Where::host);
  if (!trace.guest.events.empty() || !trace.guest.hooks.empty())
    r.losses_guest = loss_rows(trace.guest, Where::guest);
  r.complete = a.cycles.size();
  r.incomplete = a.incomplete;
  r.without_flow = a.without_flow;
  double total_ns = 0, unattributed_ns = 0;
  std::vector<std::int64_t> totals;
  for (const CycleResult& c : a.cycles) {
    totals.push_back(c.total_ns());
    total_ns += static_cast<double>(c.total_ns());
    unattributed_ns += static_cast<double>(c.unattributed_ns);
  }
  for (std::size_t k = 0; k < kSegments; ++k)
    r.segments.push_back(make_row(a, static_cast<Segment>(k), total_ns));
  const CycleStates states(trace, clock);
  for (SegmentRow& row : r.segments)
    add_states(a, states, row);
  if (total_ns > 0) r.unattributed_share = unattributed_ns / total_ns;
  r.total = percentiles(std::move(totals));
  r.hooks_host = trace.host.hooks;
  r.hooks_guest = trace.guest.hooks;
  r.notes = trace.notes;
  r.tax = probe_tax(trace, a);
  r.verdicts = compute_verdicts(trace, clock, a, states);
  r.verdicts.push_back(probe_tax_verdict(r.tax, a));
  if (trace.truncated) r.notes.emplace_back("the trace is truncated: this is what it has");
  if (trace.other_interface)
    r.notes.emplace_back("recorded with another version of the probe interface: arguments may be missing");
  if (!trace.guest.events.empty() && !clock.hull)
    r.notes.emplace_back("no clock exchange in the trace: the guest's events cannot be placed");
  if (clock.hull && !a.cycles.empty() && a.cycles.front().kind == CycleKind::kHostOnly)
    r.notes.emplace_back("the guest tells of no connection: these are the host's cycles");
  return r;
}

std::string printable(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

std::int64_t whole_ns(double ns) {
  constexpr double kMost = 9e18;
  return static_cast<std::int64_t>(std::clamp(ns, -kMost, kMost));
}

std::string format_time(std::optional<std::int64_t> ns) {
  if (!ns) return "-";
  const double us = static_cast<double>(*ns) / 1e3;
  const auto digits = [](double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; };
  if (us < 999.5) return fmt::format("{:.{}f} us", us, digits(us));
  const double ms = us / 1e3;
  if (ms < 999.5) return fmt::format("{:.{}f} ms", ms, digits(ms));
  return fmt::format("{:.{}f} s", ms / 1e3, digits(ms / 1e3));
}

std::string describe_machine(const json& machine) {
  const std::string kind = text_of(machine, "kind");
  std::string text;
  if (kind == "lab")
    text = "lab (nested KVM, software emulated: counts and shares hold, absolute times do not)";
  else if (kind == "slow")
    text = "slow KVM (emulates the guest's kernel: absolute times do not hold)";
  else if (kind == "hardware")
    text = "hardware KVM";
  else if (kind == "none")
    text = "no VM, native speed";
  else
    text = "unknown";
  for (const char* key : {"cpu", "kernel", "virtualization"})
    if (const std::string value = text_of(machine, key); !value.empty() && value != "none")
      text += ", " + printable(value);
  return text;
}

}  // namespace glassbox::trace
