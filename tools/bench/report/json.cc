#include "tools/bench/report/json.h"

#include <algorithm>

#include "tools/bench/report/missed_targets.h"
#include "tools/bench/report/table.h"
#include "tools/bench/report/targets.h"
#include "tools/bench/report/text.h"
#include "tools/bench/report/trace_summary.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

json in_us(const std::optional<std::uint64_t>& ns) {
  return ns ? json(static_cast<double>(*ns) / 1e3) : json();
}

json in_json(const std::optional<bool>& value) {
  return value ? json(*value) : json();
}

json summary_json(const Rounds& rounds) {
  const Summary summary = summarize(pooled(rounds));
  json out = {{"n", summary.n},
              {"p50_us", in_us(summary.p50_ns)},
              {"p90_us", in_us(summary.p90_ns)},
              {"p99_us", in_us(summary.p99_ns)},
              {"p999_us", in_us(summary.p999_ns)},
              {"max_us", in_us(summary.max_ns)},
              {"median_interval_us", nullptr}};
  if (const auto& interval = summary.median_interval) {
    out["median_interval_us"] = {in_us(interval->low_ns), in_us(interval->high_ns)};
    out["median_confidence"] = interval->confidence;
  }
  json& medians = out["round_medians_us"] = json::array();
  for (const auto& round : rounds)
    medians.push_back(in_us(summarize(round).p50_ns));
  return out;
}

json comparison_json(const std::optional<Comparison>& comparison) {
  if (!comparison) return nullptr;
  return {{"ratio", comparison->ratio},
          {"p", comparison->p},
          {"rounds", comparison->rounds},
          {"intervals_overlap", comparison->overlap},
          {"different", comparison->different}};
}

json quiet_json(const std::vector<Quiet>& rounds) {
  json all = json::array();
  for (const Quiet& quiet : rounds)
    all.push_back({{"cpu_percent", quiet.cpu_percent},
                   {"wakeups_per_s", quiet.wakeups_per_s},
                   {"resident_kib", quiet.resident_kib}});
  return all;
}

json explanation_json(const NativeExplanation& explanation) {
  json shares = json::array();
  for (const TimeShare& share : explanation.shares)
    shares.push_back({{"who", share.who},
                      {"running", share.running},
                      {"runnable", share.runnable},
                      {"blocked", share.blocked}});
  const auto or_null = [](const std::string& text) { return text.empty() ? json() : json(text); };
  return {{"shares", std::move(shares)},
          {"shares_missing", or_null(explanation.shares_missing)},
          {"trace", explanation.trace},
          {"trace_missing", or_null(explanation.trace_missing)}};
}

json cell_json(const Cell& cell) {
  if (!cell.failed.empty()) return {{"failed", cell.failed}};
  json out = summary_json(cell.rounds);
  json& counts = out["counts_per_cycle"] = json::object();
  if (const double n = cell.process_cycles; n > 0) {
    const auto each = [&](const std::optional<double>& total) { return total ? json(*total / n) : json(); };
    counts = {{"exits", each(cell.process.exits)},
              {"interrupts_injected", each(cell.process.injections)},
              {"context_switches", cell.process.switches / n},
              {"cpu_us", cell.process.cpu_ns / n / 1e3}};
  }
  if (!cell.uncounted.empty()) out["counts_missing"] = cell.uncounted;
  if (cell.kernel) {
    counts["system_calls"] = cell.kernel->calls;
    counts["wakeups"] = cell.kernel->wakeups;
    counts["system_calls_by_name"] = cell.kernel->by_call;
    counts["exits_by_reason"] = cell.kernel->by_reason;
  }
  if (!cell.quiet.empty()) out["quiet"] = quiet_json(cell.quiet);
  if (cell.explanation) out["explanation"] = explanation_json(*cell.explanation);
  return out;
}

json restarts_json(const std::vector<Restart>& restarts) {
  json all = json::array();
  for (const Restart& restart : restarts)
    all.push_back({{"workload", restart.workload}, {"when", restart.when}, {"why", restart.why}});
  return all;
}

json boot_json(const BootRow& row) {
  json out = {{"stack", row.label},
              {"qemu_machine", row.machine.empty() ? json() : json(row.machine)},
              {"refused", row.refused.empty() ? json() : json(row.refused)},
              {"ready", summary_json(row.ready)},
              {"first_guest_instruction", summary_json(row.first_entry)},
              {"kernel_to_init", summary_json(row.kernel)},
              {"exits", row.exits},
              {"started_anew", restarts_json(row.restarts)},
              {"stages", json::object()}};
  for (const auto& [stage, rounds] : row.stages)
    out["stages"][std::string(stage_name(stage))] = summary_json(rounds);
  return out;
}

json row_json(const CompareResult& result, const Row& row) {
  json one = {{"stack", row.label},
              {"group", row.entry->group == Group::kVm ? "vm" : "native"},
              {"qemu_machine", row.machine.empty() ? json() : json(row.machine)},
              {"refused", row.refused.empty() ? json() : json(row.refused)},
              {"carried_by", row.identity.text},
              {"version", row.identity.version},
              {"started_anew", restarts_json(row.restarts)},
              {"workloads", json::object()}};
  const Row* base = base_of(result, row);
  if (base != nullptr) one["compared_with"] = base->label;
  for (const auto& [name, cell] : row.cells) {
    json figures = cell_json(cell);
    if (base != nullptr && base->cells.contains(name) && base->cells.at(name).failed.empty() &&
        cell.failed.empty()) {
      figures["comparison"] = comparison_json(compare(cell.rounds, base->cells.at(name).rounds));
    }
    one["workloads"][name] = std::move(figures);
  }
  return one;
}

json target_json(const CompareResult& result, const Target& target) {
  const auto number = [](const std::optional<double>& value) { return value ? json(*value) : json(); };
  return {{"what", target.what},
          {"unit", target.unit},
          {"stack", target.row},
          {"workload", target.workload},
          {"glassbox", number(target.ours)},
          {"peer", target.peer},
          {"peer_value", number(target.peers)},
          {"ratio", number(target.ratio())},
          {"limit", target.limit},
          {"bound", name(target.bound)},
          {"met", target.met()},
          {"held_by", explain_target(result, target)}};
}

json spec_json(const Spec& spec) {
  return {{"stacks", spec.stacks},
          {"workloads", spec.workloads},
          {"flows", spec.flows},
          {"rounds", spec.rounds},
          {"cycles", spec.cycles},
          {"fork_cycles", spec.fork_cycles},
          {"warm_up", spec.warm_up},
          {"boot_rounds", spec.boot_rounds},
          {"payload_bytes", spec.payload},
          {"stream_mib", spec.stream_mib},
          {"idle_flows", spec.idle_flows},
          {"rate", spec.rate},
          {"mtu", spec.mtu},
          {"vcpus", spec.vcpus},
          {"memory_mib", spec.memory_mib}};
}

json null_test_json(const NullTest& test) {
  return {{"harness", summary_json(test.harness)},
          {"plain", summary_json(test.plain)},
          {"comparison", comparison_json(compare(test.harness, test.plain))},
          {"failed", test.failed.empty() ? json() : json(test.failed)},
          {"agree", in_json(null_test_agrees(test))}};
}

}  // namespace

json compare_json(const CompareResult& result) {
  json out = {{"schema", 1},
              {"machine", result.machine},
              {"version", GLASSBOX_VERSION},
              {"interrupted", result.interrupted},
              {"rounds_done", result.rounds_done},
              {"spec", spec_json(result.spec)},
              {"null_test", null_test_json(result.null_test)},
              {"stacks", json::array()},
              {"boots", json::array()},
              {"targets", json::array()}};
  if (!result.counts_missing.empty()) out["counts_missing"] = result.counts_missing;
  for (const Row& row : result.rows)
    out["stacks"].push_back(row_json(result, row));
  for (const BootRow& row : result.boots)
    out["boots"].push_back(boot_json(row));
  for (const Target& target : targets_of(result))
    out["targets"].push_back(target_json(result, target));
  if (!result.traced.is_null()) out["traced"] = summary_of_trace(result.traced);
  if (!result.trace_missing.empty()) out["trace_missing"] = result.trace_missing;
  return out;
}

}  // namespace glassbox::bench
