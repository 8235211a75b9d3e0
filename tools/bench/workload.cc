#include "tools/bench/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace glassbox::bench {
namespace {

constexpr std::array<std::string_view, 9> kNames = {
    "crr", "crr-fork", "rr", "stream-out", "stream-in", "connect-rate", "idle-flows", "half-closed", "boot"};
static_assert(kNames.size() == static_cast<std::size_t>(WorkloadKind::kBoot) + 1);

}  // namespace

std::vector<std::string> workload_names(bool default_ones) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (!default_ones || !keeps_flows_open(static_cast<WorkloadKind>(i))) names.emplace_back(kNames.at(i));
  }
  return names;
}

bool wants(const Spec& spec, std::string_view workload) {
  return std::find(spec.workloads.begin(), spec.workloads.end(), workload) != spec.workloads.end();
}

std::vector<Workload> round_workloads(const Spec& spec) {
  std::vector<Workload> all;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto kind = static_cast<WorkloadKind>(i);
    const std::string name(kNames.at(i));
    if (!wants(spec, name) || kind == WorkloadKind::kBoot) continue;
    if (kind != WorkloadKind::kConnectRate) {
      all.push_back({kind, 1, name});
      continue;
    }
    for (const std::uint32_t flows : spec.flows)
      all.push_back({kind, flows, fmt::format("{} {}", name, flows)});
  }
  return all;
}

bool is_stream(WorkloadKind kind) {
  return kind == WorkloadKind::kStreamOut || kind == WorkloadKind::kStreamIn;
}

bool keeps_flows_open(WorkloadKind kind) {
  return kind == WorkloadKind::kIdleFlows || kind == WorkloadKind::kHalfClosed;
}

Service service_of(WorkloadKind kind) {
  switch (kind) {
    case WorkloadKind::kRr:
      return Service::kKeep;
    case WorkloadKind::kStreamOut:
      return Service::kSink;
    case WorkloadKind::kStreamIn:
      return Service::kSource;
    default:
      return Service::kEcho;
  }
}

std::uint32_t cycles_of(const Workload& workload, const Spec& spec) {
  if (workload.kind == WorkloadKind::kCrrFork) return spec.fork_cycles;
  return is_stream(workload.kind) ? 1 : spec.cycles;
}

std::uint32_t warm_up_of(const Workload& workload, const Spec& spec) {
  return std::max(std::min(spec.warm_up, cycles_of(workload, spec)), workload.flows);
}

}  // namespace glassbox::bench
