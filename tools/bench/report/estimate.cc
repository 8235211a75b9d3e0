#include "tools/bench/report/estimate.h"

#include <algorithm>
#include <cmath>

#include "tools/bench/measure/verdict.h"
#include "tools/bench/stacks/stack_list.h"
#include "tools/bench/workload.h"

namespace glassbox::bench {
namespace {

constexpr double kOpenFlowsS = 4;    // to open many flows and to watch them
constexpr int kCountPasses = 3;      // compare_run.cc
constexpr double kLong_s = 10 * 60;  // from here on a way to make it shorter is named

// What a stack's parts take, as seen on two cores with little else to do.
struct Pace {
  double start_s;   // of the stack: with who it is found out
  double boot_s;    // of a guest alone, and its end
  double client_s;  // start and end of a client, and what is read before and after it
  double crr_s, fork_s, rr_s, mib_s;
};

Pace pace_of(Group group, bool lab) {
  if (group == Group::kVm) {
    return lab ? Pace{8, 6, 0.1, 3.5e-3, 15e-3, 1e-3, 0.06} : Pace{1, 1, 0.05, 0.2e-3, 3e-3, 0.1e-3, 0.01};
  }
  return lab ? Pace{4, 0, 0.12, 1e-3, 10e-3, 0.3e-3, 0.01}
             : Pace{0.1, 0, 0.008, 0.12e-3, 1e-3, 0.03e-3, 0.5e-3};
}

double cycle_s(const Pace& pace, const Workload& workload, const Spec& spec) {
  switch (workload.kind) {
    case WorkloadKind::kCrrFork:
      return pace.fork_s;
    case WorkloadKind::kRr:
      return spec.rate > 0 ? 1.0 / spec.rate : pace.rr_s;
    case WorkloadKind::kStreamOut:
    case WorkloadKind::kStreamIn:
      return pace.mib_s * spec.stream_mib;
    case WorkloadKind::kCrr:
      return spec.rate > 0 ? 1.0 / spec.rate : pace.crr_s;
    default:
      return pace.crr_s;
  }
}

// The warm-up's client, and the one that warms up again and is timed.
double turn_s(const Pace& pace, const Workload& workload, const Spec& spec) {
  const double cycles = 2.0 * warm_up_of(workload, spec) + cycles_of(workload, spec);
  return 2 * pace.client_s + cycles * cycle_s(pace, workload, spec);
}

}  // namespace

Estimate estimate(const Spec& spec, bool lab) {
  constexpr double kTracedLab_s = 90;
  constexpr double kTraced_s = 15;
  Estimate all;
  bool glassbox = false;
  bool peer = false;
  for (const std::string& name : spec.stacks) {
    const StackEntry& entry = *find_stack(name);
    const Pace pace = pace_of(entry.group, lab);
    all.start += pace.start_s;
    glassbox |= name == "glassbox";
    peer |= name.starts_with("qemu");
    double turns_s = 0;
    double open_s = 0;
    for (const Workload& workload : round_workloads(spec)) {
      if (!carries(entry, workload.kind)) continue;
      turns_s += turn_s(pace, workload, spec);
      if (keeps_flows_open(workload.kind)) open_s += kOpenFlowsS;
    }
    all.round += open_s;  // not counted once more
    all.round += turns_s;
    const bool carried =
        entry.name != "veth" && entry.name != "loopback";  // by a process that can be counted
    if (spec.counts && carried) all.counts += kCountPasses * turns_s;
    if (wants(spec, "boot") && boots(name)) all.boots += spec.boot_rounds * pace.boot_s;
  }
  if (all.round > 0) {  // the null test: the harness, and the plain loop
    const Pace pace = pace_of(Group::kNative, lab);
    const Workload crr{WorkloadKind::kCrr, 1, "crr"};
    all.round += turn_s(pace, crr, spec) + (spec.warm_up + spec.cycles) * pace.crr_s;
  }
  if (spec.trace_missed && glassbox && peer) all.traced = lab ? kTracedLab_s : kTraced_s;
  return all;
}

double left_s(const Estimate& estimate, const Spec& spec, std::uint32_t done, double took_s) {
  const double expected_s = done * estimate.round;
  const double pace = expected_s > 0 && took_s > 0 ? took_s / expected_s : 1;
  return pace * (estimate.total(spec.rounds - done) - estimate.start);
}

std::string about(double seconds) {
  const long minutes = std::lround(seconds / 60);
  if (minutes == 0) return "less than a minute";
  if (minutes < 120) return fmt::format("about {} min", minutes);
  return fmt::format("about {:.0f} h", seconds / 3600);
}

std::string announce(const Spec& spec, bool lab) {
  const Estimate whole = estimate(spec, lab);
  std::string text =
      fmt::format("{} stack{}, {} round{}: {}", spec.stacks.size(), spec.stacks.size() == 1 ? "" : "s",
                  spec.rounds, spec.rounds == 1 ? "" : "s", about(whole.total(spec.rounds)));
  if (lab) text += " in the lab, where everything is emulated";
  if (whole.traced > 0) text += fmt::format(", and {} more where a target is missed", about(whole.traced));
  if (whole.total(spec.rounds) < kLong_s) return text;
  Spec less = spec;
  less.rounds = std::min(less.rounds, 2U);
  less.boot_rounds = std::min(less.boot_rounds, 2U);
  less.counts = false;
  return text + fmt::format(
                    "; fewer --stacks or --workloads take less, and --rounds {} --boot-rounds {} --no-counts "
                    "{} (verdicts need {} rounds)",
                    less.rounds, less.boot_rounds, about(estimate(less, lab).total(less.rounds)),
                    kRoundsForVerdict);
}

}  // namespace glassbox::bench
