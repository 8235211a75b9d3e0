#include "tools/trace/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tools/trace/path/cycle_states.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// Why the cycles are those that the host saw, without a guest's side.
std::string_view why_host_only(const Trace& trace, const ClockReport& clock) {
  if (trace.guest.events.empty()) return "the guest was not traced";
  return clock.hull ? "the guest reported no connection" : "the guest's clock is not known";
}

std::size_t count_of(CycleKind kind, const Attribution& a) {
  return static_cast<std::size_t>(std::count_if(a.cycles.begin(), a.cycles.end(),
                                                [kind](const CycleResult& c) { return c.kind == kind; }));
}

std::string describe_cycles(const Attribution& a, std::string_view why_host_only) {
  const std::size_t fork = count_of(CycleKind::kFork, a), inbound = count_of(CycleKind::kInbound, a);
  if (inbound > 0 && inbound == a.cycles.size()) return "inbound";
  if (inbound > 0) return fmt::format("{} of them inbound", inbound);
  if (!a.cycles.empty() && a.cycles.front().kind == CycleKind::kHostOnly)
    return fmt::format("host side only ({})", why_host_only);
  if (fork == a.cycles.size()) return "one process per cycle";
  if (fork == 0) return "one process for all cycles";
  return fmt::format("{} of them with a process of their own", fork);
}

// The title that the workload was recorded with, or one made from the cycles.
std::string make_title(const Attribution& a, const json& workload, std::string_view why_host_only) {
  if (std::string title = text_of(workload, "title"); !title.empty()) return title;
  const std::string name = text_of(workload, "name"), server = text_of(workload, "server");
  return fmt::format("glassbox {}: {} cycles, {}{}{}", name.empty() ? "trace" : name, a.cycles.size(),
                     describe_cycles(a, why_host_only), server.empty() ? "" : ", server ", server);
}

void add_states(const Attribution& a, const CycleStates& states, SegmentRow& row) {
  if (!row.seen || !states.knows(actor_of(row.segment))) return;
  std::array<double, kThreadStates> sum{};  // a guest's times may overflow 64 bits
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

void take_rows(const Attribution& a, const CycleStates& states, Report& r) {
  double total_ns = 0, unattributed_ns = 0;
  std::vector<std::int64_t> totals;
  for (const CycleResult& c : a.cycles) {
    totals.push_back(c.total_ns());
    total_ns += static_cast<double>(c.total_ns());
    unattributed_ns += static_cast<double>(c.unattributed_ns);
  }
  for (std::size_t k = 0; k < kSegments; ++k)
    r.segments.push_back(make_row(a, static_cast<Segment>(k), total_ns));
  for (SegmentRow& row : r.segments)
    add_states(a, states, row);
  if (total_ns > 0) r.unattributed_share = unattributed_ns / total_ns;
  r.total = percentiles(std::move(totals));
}

void take_losses(const Trace& trace, Report& r) {
  r.drops_host = trace.host.lost();
  r.drops_guest = trace.guest.lost();
  r.losses_host = loss_rows(trace.host, Where::host);
  if (!trace.guest.events.empty() || !trace.guest.hooks.empty())
    r.losses_guest = loss_rows(trace.guest, Where::guest);
}

// The recorder's notes, then what the reader of the table has to know about this trace.
void take_notes(const Trace& trace, const ClockReport& clock, const Attribution& a, Report& r) {
  r.notes = trace.notes;
  if (trace.truncated) r.notes.emplace_back("the trace is truncated: its last events are missing");
  if (trace.other_interface)
    r.notes.emplace_back("recorded with another version of the probe interface: arguments may be missing");
  if (!trace.guest.events.empty() && !clock.hull)
    r.notes.emplace_back("no clock exchange in the trace: the guest's events have no host time");
  if (clock.hull && !a.cycles.empty() && a.cycles.front().kind == CycleKind::kHostOnly)
    r.notes.emplace_back("the guest reported no connection: these are the cycles that the host saw");
}

}  // namespace

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
  take_losses(trace, r);
  r.complete = a.cycles.size();
  r.incomplete = a.incomplete;
  r.without_flow = a.without_flow;
  const CycleStates states(trace, clock);
  take_rows(a, states, r);
  r.hooks_host = trace.host.hooks;
  r.hooks_guest = trace.guest.hooks;
  r.tax = probe_tax(trace, a);
  r.verdicts = compute_verdicts(trace, clock, a, states);
  r.verdicts.push_back(probe_tax_verdict(r.tax, a));
  take_notes(trace, clock, a, r);
  return r;
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
