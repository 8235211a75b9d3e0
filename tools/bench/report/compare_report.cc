#include "tools/bench/report/compare_report.h"

#include <algorithm>

#include "bpf/boot_stages.h"
#include "tools/bench/measure/exercise.h"
#include "tools/bench/net/explain.h"
#include "tools/bench/report/compare_table.h"
#include "tools/bench/report/misses.h"
#include "tools/bench/report/targets.h"

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

std::string parameters(const CompareSpec& spec) {
  std::string text = fmt::format(
      "{} rounds; a stack's turn: {} cycles (fork {}) after {} warm-up cycles that are thrown away; {} bytes "
      "a "
      "request; {}; streams of {} MiB; guests with {} vCPU and {} MiB",
      spec.rounds, spec.cycles, spec.fork_cycles, spec.warm_up, spec.payload,
      spec.rate > 0 ? fmt::format("open loop, {} a second, timed from when they were due", spec.rate)
                    : std::string("closed loop"),
      spec.stream_mib, spec.vcpus, spec.memory_mib);
  if (wants_boot(spec)) text += fmt::format("; {} boots", spec.boot_rounds);
  return text;
}

std::string machine_text(const json& machine) {
  std::string text =
      fmt::format("{}, kernel {}, {} processors, load {} before and {} after, {}", machine.value("cpu", "?"),
                  machine.value("kernel", "?"), machine.value("processors", 0L),
                  machine.value("load_average", json()).dump(),
                  machine.value("load_average_after", json()).dump(), machine.value("date", "?"));
  if (machine.value("kind", "") == "lab") {
    text = "in the lab (software-emulated machine): counts and ratios hold, absolute times do not\n" + text;
  }
  return text;
}

std::string interval_text(const Summary& summary) {
  if (!summary.p50_ns) return "no samples";
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  if (!summary.median_interval) return fmt::format("{:.1f} us", us(*summary.p50_ns));
  return fmt::format("{:.1f} us [{:.1f}, {:.1f}]", us(*summary.p50_ns), us(summary.median_interval->low_ns),
                     us(summary.median_interval->high_ns));
}

std::string null_text(const CompareResult& result) {
  const NullTest& test = result.null_test;
  if (!test.failed.empty()) return "FAILED: " + test.failed;
  const auto comparison = compare(test.harness, test.plain);
  if (!comparison) {
    return round_workloads(result.spec).empty() ? "not run: boots do not go through the harness"
                                                : "not reached";
  }
  const auto agree = null_test_agrees(test);
  return fmt::format("CRR on loopback through the harness {}, plain loop {}: {}: {}",
                     interval_text(summarize(pooled(test.harness))),
                     interval_text(summarize(pooled(test.plain))), describe(*comparison),
                     !agree ? "their intervals do not overlap, and of fewer than 8 rounds nobody can say more"
                     : *agree
                         ? "they agree"
                         : "THEY DIFFER: the harness adds this much, and smaller differences mean nothing");
}

std::vector<std::string> notes(const CompareResult& result) {
  std::vector<std::string> lines;
  if (result.interrupted) {
    lines.push_back(fmt::format("INTERRUPTED after {} of {} rounds; this is what there was",
                                result.rounds_done, result.spec.rounds));
  }
  if (!result.counts_missing.empty()) lines.push_back("not counted: " + result.counts_missing);
  for (const Contender& row : result.rows) {
    for (const auto& [name, cell] : row.cells) {
      if (!cell.uncounted.empty())
        lines.push_back(fmt::format("not counted: {}, {}: {}", row.label, name, cell.uncounted));
    }
  }
  if (!result.marks_missing.empty()) lines.push_back("no boot marks: " + result.marks_missing);
  return lines;
}

// Of the workload crr, or of the first there is.
std::vector<std::string> reasons(const CompareResult& result) {
  std::vector<std::string> lines;
  for (const Contender& row : result.rows) {
    const auto found = row.cells.find("crr");
    if (found == row.cells.end() || !found->second.kernel) continue;
    const KernelCounts& counts = *found->second.kernel;
    if (!counts.by_reason.empty()) lines.push_back(row.label + ", exits: " + largest(counts.by_reason));
    if (!counts.by_call.empty()) lines.push_back(row.label + ", system calls: " + largest(counts.by_call));
  }
  return lines;
}

struct Section {
  std::string title;
  std::vector<std::string> lines;
};

std::vector<Section> sections(const CompareResult& result) {
  std::vector<Section> all;
  std::vector<std::string> carriers;
  for (const Contender& row : result.rows) {
    if (!row.identity.text.empty()) {
      carriers.push_back(row.label + ": " + row.identity.text +
                         (row.machine.empty() ? "" : ", machine " + row.machine));
    }
    const bool figures = std::any_of(row.cells.begin(), row.cells.end(), [](const auto& cell) {
      return cell.second.failed.empty() && !cell.second.rounds.empty();
    });
    if (!row.refused.empty()) {
      carriers.push_back(fmt::format("{}: {}: {}", row.label, figures ? "GIVEN UP" : "NO ROW", row.refused));
    }
  }
  for (const BootRow& row : result.boots) {
    if (!row.refused.empty()) carriers.push_back(row.label + ": NO BOOTS: " + row.refused);
  }
  all.push_back({"Packets carried by", carriers});
  std::vector<std::string> anew;
  const auto add_restarts = [&anew](const auto& row) {
    for (const Restart& restart : row.restarts) {
      anew.push_back(fmt::format("{}: {}, {}: {}", row.label, restart.workload, restart.when, restart.why));
    }
  };
  for (const Contender& row : result.rows)
    add_restarts(row);
  for (const BootRow& row : result.boots)
    add_restarts(row);
  if (!anew.empty()) all.push_back({"Started anew after a failed turn", std::move(anew)});
  if (auto lines = reasons(result); !lines.empty()) all.push_back({"A CRR in counts", std::move(lines)});
  if (const auto targets = targets_of(result); !targets.empty()) {
    Section section{"Targets, against the better of the QEMU stacks of this run", {}};
    for (const Target& target : targets) {
      section.lines.push_back(describe(target));
      for (const std::string& line : where_held(result, target))
        section.lines.push_back("  " + line);
    }
    if (const auto floor = floor_text(result); !floor.empty()) section.lines.push_back(floor);
    all.push_back(std::move(section));
  }
  return all;
}

}  // namespace

std::optional<bool> null_test_agrees(const NullTest& test) {
  if (!test.failed.empty()) return false;
  const auto comparison = compare(test.harness, test.plain);
  if (!comparison || (comparison->rounds < kRoundsForVerdict && !comparison->overlap)) return std::nullopt;
  return !comparison->different;
}

bool null_test_failed(const NullTest& test) {
  return !null_test_agrees(test).value_or(true);
}

bool is_whole(const CompareResult& result) {
  const auto has_figures = [](const Contender& row) {
    return row.refused.empty() && std::all_of(row.cells.begin(), row.cells.end(),
                                              [](const auto& cell) { return cell.second.failed.empty(); });
  };
  const auto booted = [](const BootRow& row) { return row.refused.empty(); };
  return !result.interrupted && !null_test_failed(result.null_test) &&
         std::all_of(result.rows.begin(), result.rows.end(), has_figures) &&
         std::all_of(result.boots.begin(), result.boots.end(), booted);
}

const Contender* base_of(const CompareResult& result, const Contender& row) {
  const auto figures = [](const Contender& one) { return !one.cells.empty(); };
  const Contender* base = nullptr;
  for (const Contender& one : result.rows) {
    if (&one != &row && one.entry == row.entry && figures(one)) return &one;  // against itself
    if (&one == &row) break;
  }
  for (const Contender& one : result.rows) {
    if (one.entry->group != row.entry->group || !figures(one)) continue;
    const bool ours = one.entry->name == "glassbox" || one.entry->name == "glassbox-netns";
    if (base == nullptr || (ours && base->entry->name != one.entry->name)) base = &one;
    if (ours) break;
  }
  return base == &row ? nullptr : base;
}

std::string compare_text(const CompareResult& result) {
  std::string text = machine_text(result.machine) + "\n" + parameters(result.spec) + "\n";
  for (const std::string& note : notes(result))
    text += note + "\n";
  text += "null test: " + null_text(result) + "\n\n";
  text += plain_table(figures_table(result)) + "\n";
  text += kTableLegend;
  if (!result.boots.empty()) text += "\n" + plain_table(boot_table(result));
  for (const Section& section : sections(result)) {
    text += "\n" + section.title + "\n";
    for (const std::string& line : section.lines)
      text += "  " + line + "\n";
  }
  return text;
}

std::string compare_markdown(const CompareResult& result) {
  std::string text = machine_text(result.machine) + "\n\n" + parameters(result.spec) + ".\n\n";
  for (const std::string& note : notes(result))
    text += note + "\n\n";
  text += "Null test: " + null_text(result) + ".\n\n" + markdown_table(figures_table(result)) + "\n";
  text += kTableLegend;
  if (!result.boots.empty()) text += "\n" + markdown_table(boot_table(result));
  for (const Section& section : sections(result)) {
    text += "\n" + section.title + ":\n\n";
    for (const std::string& line : section.lines)
      text += line.starts_with("  ") ? "  - " + line.substr(2) + "\n" : "- " + line + "\n";
  }
  return text;
}

json compare_json(const CompareResult& result) {
  const CompareSpec& spec = result.spec;
  json out = {{"machine", result.machine},
              {"version", GLASSBOX_VERSION},
              {"interrupted", result.interrupted},
              {"rounds_done", result.rounds_done},
              {"spec",
               {{"stacks", spec.stacks},
                {"workloads", spec.workloads},
                {"flows", spec.flows},
                {"rounds", spec.rounds},
                {"cycles", spec.cycles},
                {"fork_cycles", spec.fork_cycles},
                {"warm_up", spec.warm_up},
                {"boot_rounds", spec.boot_rounds},
                {"payload_bytes", spec.payload},
                {"stream_mib", spec.stream_mib},
                {"rate", spec.rate},
                {"vcpus", spec.vcpus},
                {"memory_mib", spec.memory_mib}}},
              {"null_test",
               {{"harness", summary_json(result.null_test.harness)},
                {"plain", summary_json(result.null_test.plain)},
                {"comparison", comparison_json(compare(result.null_test.harness, result.null_test.plain))},
                {"failed", result.null_test.failed.empty() ? json() : json(result.null_test.failed)},
                {"agree", in_json(null_test_agrees(result.null_test))}}},
              {"stacks", json::array()},
              {"boots", json::array()},
              {"targets", json::array()}};
  if (!result.counts_missing.empty()) out["counts_missing"] = result.counts_missing;
  for (const Contender& row : result.rows) {
    json one = {{"stack", row.label},
                {"group", row.entry->group == Group::kVm ? "vm" : "native"},
                {"qemu_machine", row.machine.empty() ? json() : json(row.machine)},
                {"refused", row.refused.empty() ? json() : json(row.refused)},
                {"carried_by", row.identity.text},
                {"version", row.identity.version},
                {"started_anew", restarts_json(row.restarts)},
                {"workloads", json::object()}};
    const Contender* base = base_of(result, row);
    if (base != nullptr) one["compared_with"] = base->label;
    for (const auto& [name, cell] : row.cells) {
      json figures = cell_json(cell);
      if (base != nullptr && base->cells.contains(name) && base->cells.at(name).failed.empty() &&
          cell.failed.empty()) {
        figures["comparison"] = comparison_json(compare(cell.rounds, base->cells.at(name).rounds));
      }
      one["workloads"][name] = std::move(figures);
    }
    out["stacks"].push_back(std::move(one));
  }
  for (const BootRow& row : result.boots)
    out["boots"].push_back(boot_json(row));
  for (const Target& target : targets_of(result)) {
    const auto number = [](const std::optional<double>& value) { return value ? json(*value) : json(); };
    out["targets"].push_back({{"what", target.what},
                              {"glassbox", number(target.ours)},
                              {"peer", target.peer},
                              {"peer_value", number(target.peers)},
                              {"ratio", number(target.ratio())},
                              {"limit", target.limit},
                              {"met", target.met()},
                              {"held_by", where_held(result, target)}});
  }
  if (!result.traced.is_null()) out["traced"] = summary_of_trace(result.traced);
  if (!result.trace_missing.empty()) out["trace_missing"] = result.trace_missing;
  return out;
}

}  // namespace glassbox::bench
