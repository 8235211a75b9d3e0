#include "tools/bench/report/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace glassbox::bench {
namespace {

using Figure = std::function<std::optional<double>(const CompareResult&, const std::string& label)>;
using About = Target::About;
using Bound = Target::Bound;

struct Goal {
  Target target;
  Figure figure;
  std::vector<std::string> peers;  // labels
};

std::optional<double> median_us(const Rounds& rounds) {
  const auto median = summarize(pooled(rounds)).p50_ns;
  if (!median) return std::nullopt;
  return static_cast<double>(*median) / 1e3;
}

const Cell* cell_of(const CompareResult& result, const std::string& label, const std::string& workload) {
  const Row* row = find_row(result, label);
  if (row == nullptr || !row->cells.contains(workload)) return nullptr;
  const Cell& cell = row->cells.at(workload);
  return cell.failed.empty() ? &cell : nullptr;
}

Figure p50_of(const std::string& workload) {
  return [workload](const CompareResult& result, const std::string& label) -> std::optional<double> {
    const Cell* cell = cell_of(result, label, workload);
    return cell != nullptr ? median_us(cell->rounds) : std::nullopt;
  };
}

// What is done in a second: `amount` of it in one sample.
Figure rate_of(const std::string& workload, double amount) {
  return [p50 = p50_of(workload), amount](const CompareResult& result,
                                          const std::string& label) -> std::optional<double> {
    const auto us = p50(result, label);
    return us ? std::optional(amount * 1e6 / *us) : std::nullopt;
  };
}

Figure count_of(std::optional<double> ProcessCounts::*count) {
  return [count](const CompareResult& result, const std::string& label) -> std::optional<double> {
    const Cell* cell = cell_of(result, label, "crr");
    if (cell == nullptr || !(cell->process.*count) || cell->process_cycles == 0) return std::nullopt;
    return *(cell->process.*count) / cell->process_cycles;
  };
}

std::optional<double> calls_per_crr(const CompareResult& result, const std::string& label) {
  const Cell* cell = cell_of(result, label, "crr");
  return cell != nullptr && cell->kernel ? std::optional(cell->kernel->calls) : std::nullopt;
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

// The median over the rounds of a figure of the quiet time.
Figure quiet_of(const std::string& workload, double (*figure)(const Quiet&)) {
  return [workload, figure](const CompareResult& result, const std::string& label) -> std::optional<double> {
    const Cell* cell = cell_of(result, label, workload);
    if (cell == nullptr || cell->quiet.empty()) return std::nullopt;
    std::vector<double> values;
    for (const Quiet& quiet : cell->quiet)
      values.push_back(figure(quiet));
    std::sort(values.begin(), values.end());
    return values[(values.size() - 1) / 2];
  };
}

class GoalList {
 public:
  explicit GoalList(const CompareResult& result) : result_(result) {}

  // The goals that follow are about this row and, for ratios, these peers; those that the run has not are
  // left out.
  void about(const std::string& row, const std::vector<std::string>& peers) {
    row_ = row;
    peers_.clear();
    for (const std::string& peer : peers) {
      if (find_row(result_, peer) != nullptr) peers_.push_back(peer);
    }
  }

  void ratio(const std::string& what, const char* unit, About about, const std::string& workload, Bound bound,
             double limit, Figure figure) {
    if (peers_.empty() || !takes_part(workload)) return;
    add(what, unit, about, workload, bound, limit, std::move(figure), peers_);
  }

  void fixed(const std::string& what, const char* unit, const std::string& workload, double limit,
             Figure figure) {
    if (!takes_part(workload)) return;
    add(what, unit, About::kNative, workload, Bound::kAtMost, limit, std::move(figure), {});
    all_.back().target.absolute = true;
  }

  std::vector<Goal> take() { return std::move(all_); }

 private:
  bool takes_part(const std::string& workload) const {
    if (find_row(result_, row_) == nullptr) return false;
    if (workload == "boot") return wants(result_.spec, workload);
    const auto all = round_workloads(result_.spec);
    return std::any_of(all.begin(), all.end(), [&](const Workload& one) { return one.name == workload; });
  }

  void add(const std::string& what, const char* unit, About about, const std::string& workload, Bound bound,
           double limit, Figure figure, std::vector<std::string> peers) {
    Goal goal;
    goal.target.what = what;
    goal.target.unit = unit;
    goal.target.about = about;
    goal.target.limit = limit;
    goal.target.bound = bound;
    goal.target.row = row_;
    goal.target.workload = workload;
    goal.figure = std::move(figure);
    goal.peers = std::move(peers);
    all_.push_back(std::move(goal));
  }

  const CompareResult& result_;
  std::string row_;
  std::vector<std::string> peers_;
  std::vector<Goal> all_;
};

void guest_goals(GoalList& goals, const CompareResult& result) {
  std::vector<std::string> qemu;
  for (const Row& row : result.rows) {
    if (row.entry->name.starts_with("qemu")) qemu.push_back(row.label);
  }
  goals.about("glassbox", qemu);
  goals.ratio("exits per CRR", "", About::kCount, "crr", Bound::kAtMost, 0.5,
              count_of(&ProcessCounts::exits));
  goals.ratio("interrupts injected per CRR", "", About::kCount, "crr", Bound::kAtMost, 0.7,
              count_of(&ProcessCounts::injections));
  goals.ratio("CRR p50", " us", About::kCrr, "crr", Bound::kAtMost, 0.7, p50_of("crr"));
  goals.ratio("RR p50", " us", About::kRr, "rr", Bound::kAtMost, 0.7, p50_of("rr"));
  goals.ratio("start to the first guest instruction", " ms", About::kBoot, "boot", Bound::kAtMost, 0.5,
              boot_of(&BootRow::first_entry));
  goals.ratio("start to agent ready", " ms", About::kBoot, "boot", Bound::kBelow, 1,
              boot_of(&BootRow::ready));
}

void native_latency_goals(GoalList& goals, const std::vector<std::string>& peers) {
  const auto p50 = [&](const std::string& what, const std::string& workload, double limit) {
    goals.ratio(what, " us", About::kNative, workload, Bound::kAtMost, limit, p50_of(workload));
  };
  const std::string off = "glassbox-netns-off", adaptive = "glassbox-netns";
  goals.about(off, peers);
  goals.fixed("system calls per CRR, --poll off", "", "crr", 24, calls_per_crr);
  p50("CRR p50 without a guest, --poll off", "crr", 0.85);
  p50("RR p50 without a guest, --poll off", "rr", 1.0);
  goals.about(off, {"bare"});
  p50("CRR p50 without a guest, --poll off, against the floor", "crr", 1.1);
  goals.about(adaptive, peers);
  p50("CRR p50 without a guest", "crr", 0.6);
  p50("RR p50 without a guest", "rr", 0.45);
  goals.about(adaptive, {"bare-spin"});
  p50("CRR p50 without a guest, against the spinning floor", "crr", 1.1);
}

void native_rate_goals(GoalList& goals, const CompareResult& result, const std::vector<std::string>& peers) {
  const Spec& spec = result.spec;
  const double gbit = static_cast<double>(std::uint64_t{spec.stream_mib} << 23) / 1e9;
  const auto stream = [&](const std::string& workload, const char* against, double limit) {
    goals.ratio(fmt::format("{}, MTU {}{}", workload, spec.mtu, against), " Gbit/s", About::kNative, workload,
                Bound::kAtLeast, limit, rate_of(workload, gbit));
  };
  goals.about("glassbox-netns", peers);
  stream("stream-out", "", 1.5);
  stream("stream-in", "", 1.1);
  for (const Workload& workload : round_workloads(spec)) {
    if (workload.kind != WorkloadKind::kConnectRate) continue;
    goals.ratio(workload.name + " without a guest", " CRR/s", About::kNative, workload.name, Bound::kAtLeast,
                1.0, rate_of(workload.name, 1));
  }
  goals.about("glassbox-netns", {"relay"});
  stream("stream-out", ", against the relay", 0.8);
}

void open_flow_goals(GoalList& goals, const CompareResult& result) {
  const std::string flows = fmt::format("{} idle flows", result.spec.idle_flows);
  goals.about("glassbox-netns", {});
  goals.fixed(flows + ": CPU time", " % of a core", "idle-flows", 1,
              quiet_of("idle-flows", [](const Quiet& quiet) { return quiet.cpu_percent; }));
  goals.fixed(flows + ": resident memory", " MiB", "idle-flows", 40,
              quiet_of("idle-flows",
                       [](const Quiet& quiet) { return static_cast<double>(quiet.resident_kib) / 1024; }));
  const auto with = p50_of("idle-flows"), without = p50_of("crr");
  if (wants(result.spec, "crr")) {
    goals.fixed(flows + ": CRR p50 over that without them", "x", "idle-flows", 1.1,
                [with, without](const CompareResult& of, const std::string& label) -> std::optional<double> {
                  const auto loaded = with(of, label), unloaded = without(of, label);
                  if (!loaded || !unloaded || *unloaded == 0) return std::nullopt;
                  return *loaded / *unloaded;
                });
  }
  goals.fixed("two half-closed flows: wake-ups", " a second", "half-closed", 2,
              quiet_of("half-closed", [](const Quiet& quiet) { return quiet.wakeups_per_s; }));
}

std::vector<Goal> goals_of(const CompareResult& result) {
  GoalList goals(result);
  const std::vector<std::string> peers = {"pasta", "slirp4netns"};
  guest_goals(goals, result);
  native_latency_goals(goals, peers);
  native_rate_goals(goals, result, peers);
  open_flow_goals(goals, result);
  return goals.take();
}

void find_better_peer(Target& target, const Goal& goal, const CompareResult& result) {
  for (const std::string& peer : goal.peers) {
    const auto value = goal.figure(result, peer);
    if (!value) continue;
    const bool better =
        !target.peers || (target.bound == Bound::kAtLeast ? *value > *target.peers : *value < *target.peers);
    if (!better) continue;
    target.peers = value;
    target.peer = peer;
  }
}

std::string goal_text(const Target& target) {
  if (target.absolute) return fmt::format("{} {:g}{}", name(target.bound), target.limit, target.unit);
  return fmt::format("{} {:.2f}x", name(target.bound), target.limit);
}

}  // namespace

std::optional<double> Target::ratio() const {
  if (!ours || !peers || *peers == 0) return std::nullopt;
  return *ours / *peers;
}

bool Target::met() const {
  const auto found = value();
  if (!found) return false;
  if (bound == Bound::kAtLeast) return *found >= limit;
  return bound == Bound::kBelow ? *found < limit : *found <= limit;
}

bool is_missed(const Target& target) {
  return target.value() && !target.met();
}

bool is_explained(const Target& target, const Spec& spec) {
  return is_missed(target) || (spec.explain_all && target.value());
}

const Row* find_row(const CompareResult& result, const std::string& label) {
  for (const Row& row : result.rows) {
    if (row.label == label) return &row;
  }
  return nullptr;
}

Row* find_row(CompareResult& result, const std::string& label) {
  return const_cast<Row*>(find_row(std::as_const(result), label));
}

std::vector<Target> targets_of(const CompareResult& result) {
  std::vector<Target> targets;
  for (const Goal& goal : goals_of(result)) {
    Target target = goal.target;
    target.ours = goal.figure(result, target.row);
    find_better_peer(target, goal, result);
    const bool guest = target.row == "glassbox";
    if (!target.ours) target.missing = target.row + " has no figure";
    if (target.ours && !target.absolute && !target.peers)
      target.missing = guest ? "no QEMU stack has a figure" : "no peer has a figure";
    targets.push_back(std::move(target));
  }
  return targets;
}

std::string describe(const Target& target) {
  const std::string goal = goal_text(target);
  if (!target.value()) {
    return fmt::format("{}: no {} ({}); {} is the target", target.what, target.absolute ? "figure" : "ratio",
                       target.missing, goal);
  }
  const char* verdict = target.met() ? "met" : "MISSED";
  if (target.absolute) {
    return fmt::format("{}: {:.2f}{}, {}: {}", target.what, *target.ours, target.unit, goal, verdict);
  }
  return fmt::format("{}: {:.1f}{} against {:.1f}{} of {}: {:.2f}x, {}: {}", target.what, *target.ours,
                     target.unit, *target.peers, target.unit, target.peer, *target.ratio(), goal, verdict);
}

std::string_view name(Target::Bound bound) {
  switch (bound) {
    case Bound::kAtMost:
      return "at most";
    case Bound::kBelow:
      return "below";
    case Bound::kAtLeast:
      return "at least";
  }
  return "";
}

}  // namespace glassbox::bench
