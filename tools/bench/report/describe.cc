#include "tools/bench/report/describe.h"

#include "tools/bench/report/crr_report.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kMaxListed = 50'000;

nlohmann::json in_us(std::optional<std::uint64_t> ns) {
  if (!ns) return nullptr;
  return static_cast<double>(*ns) / 1e3;
}

// What the collector's report prints beside its own account of the probes' tax.
nlohmann::json tracing_cost(const CrrResult& result) {
  const Summary traced = summarize(result.cycle_ns), untraced = summarize(result.untraced_ns);
  nlohmann::json cost{{"traced_n", traced.n},
                      {"traced_p50_us", in_us(traced.p50_ns)},
                      {"untraced_n", untraced.n},
                      {"untraced_p50_us", in_us(untraced.p50_ns)}};
  if (const auto difference = median_difference(result.cycle_ns, result.untraced_ns)) {
    const auto us = [](std::int64_t ns) { return static_cast<double>(ns) / 1e3; };
    cost["difference_us"] = us(difference->difference_ns);
    cost["low_us"] = us(difference->low_ns);
    cost["high_us"] = us(difference->high_ns);
    cost["confidence"] = difference->confidence;
  }
  return cost;
}

}  // namespace

nlohmann::json describe(const CrrResult& result, const Summary& summary) {
  const Spec& spec = result.spec;
  nlohmann::json all;
  all["workload"] = {{"name", crr_workload_name(spec)},
                     {"title", headline(spec)},
                     {"server", name(spec.server)},
                     {"cycles", spec.cycles},
                     {"warm_up", spec.warm_up},
                     {"stack", spec.stack()},
                     {"vcpus", spec.vcpus},
                     {"memory_mib", spec.memory_mib},
                     {"server_port", result.port},
                     {"ipv6", spec.server.ipv6}};
  nlohmann::json client{{"clock", spec.forks() ? "the shell's EPOCHREALTIME" : "CLOCK_MONOTONIC"},
                        {"measured_at", result.measured_at},
                        {"launcher", "glassbox-bench " GLASSBOX_VERSION},
                        {"n", summary.n},
                        {"min_us", in_us(summary.min_ns)},
                        {"p50_us", in_us(summary.p50_ns)},
                        {"p90_us", in_us(summary.p90_ns)},
                        {"p99_us", in_us(summary.p99_ns)},
                        {"p999_us", in_us(summary.p999_ns)},
                        {"max_us", in_us(summary.max_ns)},
                        {"median_interval", nullptr}};
  if (const auto& interval = summary.median_interval) {
    client["median_interval"] = {{"low_us", in_us(interval->low_ns)},
                                 {"high_us", in_us(interval->high_ns)},
                                 {"confidence", interval->confidence}};
  }
  all["client"] = std::move(client);
  if (!result.untraced_ns.empty()) all["tracing_cost"] = tracing_cost(result);
  if (result.cycle_ns.size() <= kMaxListed) all["client_cycle_ns"] = result.cycle_ns;
  return all;
}

}  // namespace glassbox::bench
