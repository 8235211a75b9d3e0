#include "tools/trace/report/json_values.h"
#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

json member(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() ? *it : json();
}

json string_member(const json& object, const char* key) {
  const json value = member(object, key);
  return value.is_string() ? value : json();
}

json hook_lines(const std::vector<bpf::Hook>& hooks) {
  json lines = json::array();
  for (const bpf::Hook& hook : hooks)
    lines.push_back(bpf::hook_line(hook));
  return lines;
}

json states(const SegmentRow& row) {
  if (!row.mean_states_ns) return nullptr;
  const auto of = [&row](ThreadState state) {
    return json_us(row.mean_states_ns->at(static_cast<std::size_t>(state)));
  };
  return {{"thread", name_of(actor_of(row.segment))},  {"running_us", of(ThreadState::kRunning)},
          {"runnable_us", of(ThreadState::kRunnable)}, {"blocked_us", of(ThreadState::kBlocked)},
          {"exit_us", of(ThreadState::kExit)},         {"stolen_us", of(ThreadState::kStolen)},
          {"unknown_us", of(ThreadState::kUnknown)}};
}

json segment_rows(const Report& r) {
  json rows = json::array();
  for (const SegmentRow& row : r.segments) {
    const SegmentInfo& info = segment_info(row.segment);
    rows.push_back({{"id", info.id},
                    {"label", info.label},
                    {"side", name_of(info.side)},
                    {"p50_us", json_us(row.percentiles.p50_ns)},
                    {"p90_us", json_us(row.percentiles.p90_ns)},
                    {"p99_us", json_us(row.percentiles.p99_ns)},
                    {"share", json_number(row.share)},
                    {"bound_us", row.bound_ns > 0 ? json_us(row.bound_ns) : json()},
                    {"states", states(row)}});
  }
  return rows;
}

json vcpu_clocks(const Report& r) {
  json rows = json::array();
  for (const VcpuClock& c : r.vcpu_clocks)
    rows.push_back({{"vcpu", c.vcpu}, {"constraints", c.constraints}, {"violations", c.violations}});
  return rows;
}

json clock_check(const ClockCheck& c) {
  return {{"outcome", name_of(c.agreement)},
          {"why", c.why.empty() ? json() : json(c.why)},
          {"readings", c.readings},
          {"inside", c.inside},
          {"causal_us", json_us(c.causal_ns)},
          {"half_width_us", json_us(c.half_width_ns)},
          {"kvm_us", json_us(c.kvm_ns)},
          {"difference_us", json_us(c.difference_ns)},
          {"outside_us", json_us(c.outside_ns)},
          {"flags", c.flags ? json(*c.flags) : json()}};
}

json verdict_rows(const Report& r) {
  json rows = json::array();
  for (const Verdict& v : r.verdicts) {
    rows.push_back({{"id", v.id},
                    {"claim", v.claim},
                    {"outcome", name_of(v.outcome)},
                    {"criterion", v.criterion},
                    {"evidence", v.evidence}});
  }
  return rows;
}

json compared(const ProbeTax& tax) {
  if (!tax.compared) return nullptr;
  const ProbeTax::Comparison& c = *tax.compared;
  return {{"traced_p50_us", json_us(c.traced_p50_ns)},
          {"traced_n", c.traced_n},
          {"untraced_p50_us", json_us(c.untraced_p50_ns)},
          {"untraced_n", c.untraced_n},
          {"difference_us", json_us(c.difference_ns)},
          {"low_us", json_us(c.low_ns)},
          {"high_us", json_us(c.high_ns)},
          {"confidence", c.difference_ns ? json(c.confidence) : json()}};
}

// A percentile that the client did not state is null, never absent: merging metadata (RFC 7396) drops nulls,
// so they are put back here.
json client_times(const Report& r) {
  if (!r.client.is_object()) return nullptr;
  json client = r.client;
  for (const char* key : {"p50_us", "p90_us", "p99_us"}) {
    if (!client.contains(key)) client[key] = nullptr;
  }
  return client;
}

json machine_json(const Report& r) {
  return {{"kind", string_member(r.machine, "kind")},
          {"cpu", string_member(r.machine, "cpu")},
          {"kernel", string_member(r.machine, "kernel")},
          {"virtualization", string_member(r.machine, "virtualization")}};
}

json workload_json(const Report& r) {
  const json cycles = member(r.workload, "cycles");
  return {{"name", string_member(r.workload, "name")},
          {"server", string_member(r.workload, "server")},
          {"cycles", cycles.is_number_unsigned() ? cycles : json(r.complete + r.incomplete)}};
}

json clock_json(const Report& r) {
  return {{"bound_us", json_us(r.clock_bound_ns)},
          {"exchanges", r.exchanges},
          {"frames", r.frames},
          {"violations", r.violations},
          {"violation", r.violation ? json(*r.violation) : json()},
          {"drift_ppm", kDriftPpm},
          {"vcpus", vcpu_clocks(r)},
          {"checks",
           {{"tsc_offset", clock_check(r.clock_checks.tsc_offset)},
            {"kvm_clock", clock_check(r.clock_checks.kvm_clock)}}}};
}

json tax_json(const ProbeTax& tax) {
  return {{"hits_per_cycle", tax.hits_per_cycle},
          {"hit_us", json_us(tax.hit_ns)},
          {"share", json_number(tax.share)},
          {"compared", compared(tax)},
          {"compared_missing", tax.compared ? json() : json(kNotCompared)}};
}

}  // namespace

json to_json(const Report& r) {
  return {
      {"schema", kReportSchema},
      {"title", r.title},
      {"machine", machine_json(r)},
      {"workload", workload_json(r)},
      {"clock", clock_json(r)},
      {"drops",
       {{"host", r.drops_host},
        {"guest", r.drops_guest},
        {"counters", losses_json(r.losses_host, r.losses_guest)}}},
      {"cycles", {{"complete", r.complete}, {"incomplete", r.incomplete}, {"without_flow", r.without_flow}}},
      {"segments", segment_rows(r)},
      {"unattributed_share", json_number(r.unattributed_share)},
      {"total",
       {{"p50_us", json_us(r.total.p50_ns)},
        {"p90_us", json_us(r.total.p90_ns)},
        {"p99_us", json_us(r.total.p99_ns)}}},
      {"client", client_times(r)},
      {"hooks", {{"host", hook_lines(r.hooks_host)}, {"guest", hook_lines(r.hooks_guest)}}},
      {"notes", r.notes},
      {"verdicts", verdict_rows(r)},
      {"probe_tax", tax_json(r.tax)},
  };
}

}  // namespace glassbox::trace
