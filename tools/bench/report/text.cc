#include "tools/bench/report/text.h"

#include <algorithm>

#include "tools/bench/report/missed_targets.h"
#include "tools/bench/report/table.h"
#include "tools/bench/report/targets.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

std::string parameters(const Spec& spec) {
  std::string text = fmt::format(
      "{} rounds; a stack's turn: {} cycles (fork {}) after {} warm-up cycles that are thrown away; {} bytes a "
      "request; {}; streams of {} MiB; MTU {} without a guest; guests with {} vCPU and {} MiB",
      spec.rounds, spec.cycles, spec.fork_cycles, spec.warm_up, spec.payload,
      spec.rate > 0 ? fmt::format("open loop, {} a second, timed from when they were due", spec.rate)
                    : std::string("closed loop"),
      spec.stream_mib, spec.mtu, spec.vcpus, spec.memory_mib);
  if (wants(spec, "boot")) text += fmt::format("; {} boots", spec.boot_rounds);
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
  return fmt::format(
      "CRR on loopback through the harness {}, plain loop {}: {}: {}",
      interval_text(summarize(pooled(test.harness))), interval_text(summarize(pooled(test.plain))),
      describe(*comparison),
      !agree ? "their intervals do not overlap, and fewer than 8 rounds allow no verdict"
      : *agree
          ? "they agree"
          : "THEY DIFFER: the harness adds this much, and smaller differences between stacks mean nothing");
}

// The medians over the rounds.
std::string quiet_text(const std::vector<Quiet>& rounds) {
  const auto median = [&](auto figure) {
    std::vector<double> values;
    for (const Quiet& quiet : rounds)
      values.push_back(figure(quiet));
    std::sort(values.begin(), values.end());
    return values[(values.size() - 1) / 2];
  };
  return fmt::format(
      "before the cycles, the NAT took {:.2f} % of a core, woke {:.1f} times a second and had {:.1f} MiB",
      median([](const Quiet& quiet) { return quiet.cpu_percent; }),
      median([](const Quiet& quiet) { return quiet.wakeups_per_s; }),
      median([](const Quiet& quiet) { return static_cast<double>(quiet.resident_kib) / 1024; }));
}

std::vector<std::string> notes(const CompareResult& result) {
  std::vector<std::string> lines;
  if (result.interrupted) {
    lines.push_back(fmt::format("INTERRUPTED after {} of {} rounds; this is what there was",
                                result.rounds_done, result.spec.rounds));
  }
  if (!result.counts_missing.empty()) lines.push_back("not counted: " + result.counts_missing);
  for (const Row& row : result.rows) {
    for (const auto& [name, cell] : row.cells) {
      if (!cell.uncounted.empty())
        lines.push_back(fmt::format("not counted: {}, {}: {}", row.label, name, cell.uncounted));
    }
  }
  for (const Row& row : result.rows) {
    for (const auto& [name, cell] : row.cells) {
      if (!cell.quiet.empty())
        lines.push_back(fmt::format("{}, {}: {}", row.label, name, quiet_text(cell.quiet)));
    }
  }
  if (!result.marks_missing.empty()) lines.push_back("no boot marks: " + result.marks_missing);
  return lines;
}

// Of the workload crr, or of the first there is.
std::vector<std::string> reasons(const CompareResult& result) {
  std::vector<std::string> lines;
  for (const Row& row : result.rows) {
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
  for (const Row& row : result.rows) {
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
  std::vector<std::string> restarted;
  const auto add_restarts = [&restarted](const auto& row) {
    for (const Restart& restart : row.restarts) {
      restarted.push_back(
          fmt::format("{}: {}, {}: {}", row.label, restart.workload, restart.when, restart.why));
    }
  };
  for (const Row& row : result.rows)
    add_restarts(row);
  for (const BootRow& row : result.boots)
    add_restarts(row);
  if (!restarted.empty()) all.push_back({"Restarted after a failed turn", std::move(restarted)});
  if (auto lines = reasons(result); !lines.empty()) all.push_back({"A CRR in counts", std::move(lines)});
  if (const auto targets = targets_of(result); !targets.empty()) {
    Section section{"Targets, compared with the better of the peers in this run", {}};
    for (const Target& target : targets) {
      section.lines.push_back(describe(target));
      for (const std::string& line : explain_target(result, target))
        section.lines.push_back("  " + line);
    }
    if (const auto floor = floor_text(result); !floor.empty()) section.lines.push_back(floor);
    all.push_back(std::move(section));
  }
  return all;
}

}  // namespace

bool is_whole(const CompareResult& result) {
  const auto has_figures = [](const Row& row) {
    return row.refused.empty() && std::all_of(row.cells.begin(), row.cells.end(),
                                              [](const auto& cell) { return cell.second.failed.empty(); });
  };
  const auto booted = [](const BootRow& row) { return row.refused.empty(); };
  return !result.interrupted && !null_test_failed(result.null_test) &&
         std::all_of(result.rows.begin(), result.rows.end(), has_figures) &&
         std::all_of(result.boots.begin(), result.boots.end(), booted);
}

const Row* base_of(const CompareResult& result, const Row& row) {
  const auto figures = [](const Row& one) { return !one.cells.empty(); };
  const Row* base = nullptr;
  for (const Row& one : result.rows) {
    if (&one != &row && one.entry == row.entry && figures(one)) return &one;  // against itself
    if (&one == &row) break;
  }
  for (const Row& one : result.rows) {
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

}  // namespace glassbox::bench
