#include "tools/bench/report/targets.h"

#include <functional>

namespace glassbox::bench {
namespace {

using Figure = std::function<std::optional<double>(const CompareResult&, const std::string& label)>;

const Contender* row_of(const CompareResult& result, const std::string& label) {
  for (const Contender& row : result.rows) {
    if (row.label == label) return &row;
  }
  return nullptr;
}

std::optional<double> median_us(const Rounds& rounds) {
  const auto median = summarize(pooled(rounds)).p50_ns;
  if (!median) return std::nullopt;
  return static_cast<double>(*median) / 1e3;
}

Figure p50_of(const char* workload) {
  return [workload](const CompareResult& result, const std::string& label) -> std::optional<double> {
    const Contender* row = row_of(result, label);
    if (row == nullptr || !row->cells.contains(workload)) return std::nullopt;
    if (!row->cells.at(workload).failed.empty()) return std::nullopt;
    return median_us(row->cells.at(workload).rounds);
  };
}

Figure count_of(std::optional<double> ProcessCounts::*count) {
  return [count](const CompareResult& result, const std::string& label) -> std::optional<double> {
    const Contender* row = row_of(result, label);
    if (row == nullptr || !row->cells.contains("crr")) return std::nullopt;
    const Cell& cell = row->cells.at("crr");
    if (!cell.failed.empty()) return std::nullopt;
    const std::optional<double>& total = cell.process.*count;
    if (!total || cell.process_cycles == 0) return std::nullopt;
    return *total / cell.process_cycles;
  };
}

Figure boot_of(Rounds BootRow::*rounds) {
  return [rounds](const CompareResult& result, const std::string& label) -> std::optional<double> {
    for (const BootRow& row : result.boots) {
      if (row.label != label || !row.refused.empty()) continue;
      const auto us = median_us(row.*rounds);
      if (us) return *us / 1e3;
    }
    return std::nullopt;
  };
}

struct Goal {
  Target target;
  Figure figure;
};

bool wanted(const CompareResult& result, const char* workload) {
  const auto& names = result.spec.workloads;
  return std::find(names.begin(), names.end(), workload) != names.end();
}

std::vector<Goal> goals(const CompareResult& result) {
  std::vector<Goal> all;
  const auto add = [&](const char* what, const char* unit, Target::About about, double limit, bool below,
                       Figure figure) {
    all.push_back({{what, unit, about, limit, below, {}, {}, {}, {}}, std::move(figure)});
  };
  if (wanted(result, "crr")) {
    add("exits per CRR", "", Target::About::kCount, 0.5, false, count_of(&ProcessCounts::exits));
    add("interrupts injected per CRR", "", Target::About::kCount, 0.7, false,
        count_of(&ProcessCounts::injections));
    add("CRR p50", " us", Target::About::kCrr, 0.7, false, p50_of("crr"));
  }
  if (wanted(result, "rr")) add("RR p50", " us", Target::About::kRr, 0.7, false, p50_of("rr"));
  if (wanted(result, "boot")) {
    add("start to the first guest instruction", " ms", Target::About::kBoot, 0.5, false,
        boot_of(&BootRow::first_entry));
    add("start to agent ready", " ms", Target::About::kBoot, 1, true, boot_of(&BootRow::ready));
  }
  return all;
}

}  // namespace

std::optional<double> Target::ratio() const {
  if (!ours || !peers || *peers == 0) return std::nullopt;
  return *ours / *peers;
}

bool Target::met() const {
  const auto value = ratio();
  return value && (below ? *value < limit : *value <= limit);
}

std::vector<Target> targets_of(const CompareResult& result) {
  std::vector<std::string> peers;
  for (const Contender& row : result.rows) {
    if (row.entry->name.starts_with("qemu")) peers.push_back(row.label);
  }
  if (peers.empty() || row_of(result, "glassbox") == nullptr) return {};
  std::vector<Target> targets;
  for (auto& [target, figure] : goals(result)) {
    target.ours = figure(result, "glassbox");
    for (const std::string& peer : peers) {
      const auto value = figure(result, peer);
      if (!value || (target.peers && *target.peers <= *value)) continue;
      target.peers = value;
      target.peer = peer;
    }
    if (!target.ours) target.missing = "glassbox has no figure";
    if (target.ours && !target.peers) target.missing = "no QEMU stack has a figure";
    targets.push_back(target);
  }
  return targets;
}

std::string describe(const Target& target) {
  const std::string goal = fmt::format("{} {:.2f}x", target.below ? "below" : "at most", target.limit);
  if (!target.ratio()) {
    return fmt::format("{}: no ratio ({}); {} is the target", target.what, target.missing, goal);
  }
  return fmt::format("{}: {:.1f}{} against {:.1f}{} of {}: {:.2f}x, {}: {}", target.what, *target.ours,
                     target.unit, *target.peers, target.unit, target.peer, *target.ratio(), goal,
                     target.met() ? "met" : "MISSED");
}

}  // namespace glassbox::bench
