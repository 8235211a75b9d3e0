#include "tools/bench/measure/explain_native.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tools/bench/measure/trace_recording.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/output.h"
#include "tools/bench/report/trace_summary.h"
#include "vmm/base/clock.h"

namespace glassbox::bench {
namespace {

constexpr std::uint64_t kClientNs = 2 * kNsPerSecond;  // the client outlives the window
constexpr int kWindowMs = 500;
constexpr int kStartLimitMs = 10'000;
constexpr int kEndLimitS = 60;
constexpr std::uint32_t kTracedCycles = 1000;

std::uint32_t cycles_for(std::uint64_t cycle_ns) {
  const std::uint64_t cycles = kClientNs / std::max<std::uint64_t>(cycle_ns, 1);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(cycles, 10, kMaxCycles));
}

Status wait_until_served(const Servers& servers, Service service, Child& client) {
  const std::uint64_t before = servers.served(service).value_or(0);
  for (int waited_ms = 0; waited_ms < kStartLimitMs; ++waited_ms) {
    if (servers.served(service).value_or(0) > before) return {};
    if (client.reap()) return fail("{}", client.how_it_ended());
    ::poll(nullptr, 0, 1);
  }
  return fail("the client did not finish a cycle within {} s", kStartLimitMs / 1000);
}

Result<std::vector<TimeShare>> split_time(Row& row, const Workload& workload, const Spec& spec,
                                          std::uint64_t cycle_ns, Watch& watch) {
  const Servers& servers = row.reached_servers();
  const Service service = service_of(workload.kind);
  GB_ASSIGN(const auto client, start_client(row, workload, spec, cycles_for(cycle_ns)));
  GB_TRY(wait_until_served(servers, service, *client));
  const std::array<std::pair<const char*, pid_t>, 3> all = {
      {{"client", client->pid()}, {"NAT", row.stack->pid()}, {"server", servers.pid(service)}}};
  std::array<SchedTime, 3> before;
  for (std::size_t i = 0; i < all.size(); ++i) {
    GB_ASSIGN(before.at(i), sched_time(all.at(i).second));
  }
  const std::uint64_t start_ns = monotonic_ns();
  ::poll(nullptr, 0, kWindowMs);
  const auto wall_ns = static_cast<double>(monotonic_ns() - start_ns);
  std::vector<TimeShare> shares;
  for (std::size_t i = 0; i < all.size(); ++i) {
    GB_ASSIGN(const SchedTime after, sched_time(all.at(i).second));
    shares.push_back(time_share(all.at(i).first, before.at(i), after, wall_ns));
  }
  if (client->reap()) return fail("the client ended within {} ms: too few cycles for a split", kWindowMs);
  GB_TRY(watch.wait(*client, kEndLimitS));
  return shares;
}

Result<nlohmann::json> trace(Row& row, const Workload& workload, const Spec& spec, Watch& watch) {
  if (::geteuid() != 0) return fail("tracing needs root");
  if (row.entry->carrier != "glassbox") return fail("{} has no probes of glassbox", row.label);
  GB_ASSIGN(const TempDir directory, TempDir::create());
  const std::string path = directory.file("trace");
  GB_ASSIGN(const auto recording,
            TraceRecording::start({"--pid", std::to_string(row.stack->pid())}, path, watch));
  GB_TRY(run_client(row, workload, spec, kTracedCycles, watch));
  GB_TRY(recording->finish(watch));
  GB_ASSIGN(const std::string text, trace_report(path, "json", watch));
  const auto report = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object()) return fail("the report of the trace is not JSON");
  return summary_of_trace(report);
}

}  // namespace

NativeExplanation explain_native(Row& row, const Workload& workload, const Spec& spec, std::uint64_t cycle_ns,
                                 Watch& watch) {
  NativeExplanation found;
  auto shares = split_time(row, workload, spec, cycle_ns, watch);
  if (shares) {
    found.shares = std::move(*shares);
  } else {
    found.shares_missing = shares.error().message;
  }
  if (workload.kind != WorkloadKind::kCrr) return found;
  auto traced = trace(row, workload, spec, watch);
  if (traced) {
    found.trace = std::move(*traced);
  } else {
    found.trace_missing = traced.error().message;
  }
  return found;
}

}  // namespace glassbox::bench
