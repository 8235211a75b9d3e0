#include "tools/trace/report/report.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

json us(std::optional<std::int64_t> ns) {
  return ns ? json(static_cast<double>(*ns) / 1e3) : json();
}

json number(std::optional<double> value) {
  return value ? json(*value) : json();
}

json member(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() ? *it : json();
}

json string_member(const json& object, const char* key) {
  const json value = member(object, key);
  return value.is_string() ? value : json();
}

std::string_view name_of(Where side) {
  return side == Where::guest ? "guest" : side == Where::host ? "host" : "cross";
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
    return us(row.mean_states_ns->at(static_cast<std::size_t>(state)));
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
                    {"p50_us", us(row.percentiles.p50_ns)},
                    {"p90_us", us(row.percentiles.p90_ns)},
                    {"p99_us", us(row.percentiles.p99_ns)},
                    {"share", number(row.share)},
                    {"bound_us", row.bound_ns > 0 ? us(row.bound_ns) : json()},
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
  return {{"outcome", name_of(c.outcome)},  {"why", c.why.empty() ? json() : json(c.why)},
          {"readings", c.readings},         {"inside", c.inside},
          {"causal_us", us(c.causal_ns)},   {"half_width_us", us(c.half_width_ns)},
          {"kvm_us", us(c.kvm_ns)},         {"difference_us", us(c.difference_ns)},
          {"outside_us", us(c.outside_ns)}, {"flags", c.flags ? json(*c.flags) : json()}};
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
  return {{"traced_p50_us", us(c.traced_p50_ns)},
          {"traced_n", c.traced_n},
          {"untraced_p50_us", us(c.untraced_p50_ns)},
          {"untraced_n", c.untraced_n},
          {"difference_us", us(c.difference_ns)},
          {"low_us", us(c.low_ns)},
          {"high_us", us(c.high_ns)},
          {"confidence", c.difference_ns ? json(c.confidence) : json()}};
}

// What the client did not or may not state is null, not absent (a merge of metadata drops nulls).
json client_times(const Report& r) {
  if (!r.client.is_object()) return nullptr;
  json client = r.client;
  for (const char* key : {"p50_us", "p90_us", "p99_us"}) {
    if (!client.contains(key)) client[key] = nullptr;
  }
  return client;
}

}  // namespace

json to_json(const Report& r) {
  const json cycles = member(r.workload, "cycles");
  return {
      {"schema", kReportSchema},
      {"title", r.title},
      {"machine",
       {{"kind", string_member(r.machine, "kind")},
        {"cpu", string_member(r.machine, "cpu")},
        {"kernel", string_member(r.machine, "kernel")},
        {"virtualization", string_member(r.machine, "virtualization")}}},
      {"workload",
       {{"name", string_member(r.workload, "name")},
        {"server", string_member(r.workload, "server")},
        {"cycles", cycles.is_number_unsigned() ? cycles : json(r.complete + r.incomplete)}}},
      {"clock",
       {{"bound_us", us(r.clock_bound_ns)},
        {"exchanges", r.exchanges},
        {"frames", r.frames},
        {"violations", r.violations},
        {"violation", r.violation ? json(*r.violation) : json()},
        {"drift_ppm", kDriftPpm},
        {"vcpus", vcpu_clocks(r)},
        {"checks",
         {{"tsc_offset", clock_check(r.clock_checks.tsc_offset)},
          {"kvm_clock", clock_check(r.clock_checks.kvm_clock)}}}}},
      {"drops", {{"host", r.drops_host}, {"guest", r.drops_guest}, {"counters", losses_json(r)}}},
      {"cycles", {{"complete", r.complete}, {"incomplete", r.incomplete}, {"without_flow", r.without_flow}}},
      {"segments", segment_rows(r)},
      {"unattributed_share", number(r.unattributed_share)},
      {"total",
       {{"p50_us", us(r.total.p50_ns)}, {"p90_us", us(r.total.p90_ns)}, {"p99_us", us(r.total.p99_ns)}}},
      {"client", client_times(r)},
      {"hooks", {{"host", hook_lines(r.hooks_host)}, {"guest", hook_lines(r.hooks_guest)}}},
      {"notes", r.notes},
      {"verdicts", verdict_rows(r)},
      {"probe_tax",
       {{"hits_per_cycle", r.tax.hits_per_cycle},
        {"hit_us", us(r.tax.hit_ns)},
        {"share", number(r.tax.share)},
        {"compared", compared(r.tax)},
        {"compared_missing", r.tax.compared ? json() : json(kNotCompared)}}},
  };
}

}  // namespace glassbox::trace
