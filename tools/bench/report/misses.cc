#include "tools/bench/report/misses.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "tools/bench/net/explain.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/compare_table.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

constexpr std::uint32_t kTracedCycles = 200;
constexpr int kTraceLimitS = 180;
constexpr std::size_t kShown = 5;
// The probes take their part, most where the machine is emulated (1.7 to 1.9 there). A traced run whose
// cycles take longer than this many untraced ones was held up by something else than what it is to explain.
// It is taken again, some times.
constexpr double kComparable = 3;
constexpr int kTries = 3;

constexpr const char *kTracedP50 = "/probe_tax/compared/traced_p50_us",
                     *kUntracedP50 = "/probe_tax/compared/untraced_p50_us";

// Ids of bpf/segments.def between the client's send() and its having the reply: all that an RR has of a CRR.
constexpr std::array kRequestAndReply = {
    "guest_request_out", "kick_request", "nat_request", "server_read_wait", "server_think",
    "server_reply",      "nat_reply",    "irq_reply",   "reply_rest",       "guest_reply_read"};

bool missed(const Target& target) {
  return target.ratio() && !target.met();
}

Result<json> traced_run(const CompareSpec& spec, Watch& watch) {
  GB_ASSIGN(const TempDir directory, TempDir::create());
  const std::string path = directory.file("report.json");
  GB_ASSIGN(const auto run,
            Child::start({.what = "the traced run",
                          .argv = {program("glassbox-bench"), "crr", "--workload", "single", "--cycles",
                                   std::to_string(kTracedCycles), "--vcpus", std::to_string(spec.vcpus),
                                   "--memory", std::to_string(spec.memory_mib), "--trace", "--json", path},
                          .stop_signal = SIGINT}));
  GB_ASSIGN(const ExitStatus status, watch.wait(*run, kTraceLimitS));
  if (!status.ok()) return fail("{}", run->epitaph());
  std::ifstream file(path);
  json report = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object()) return fail("the traced run's report is not JSON");
  return report;
}

// p50 of the CRR that the rounds measured; of nothing where they had none.
std::optional<double> measured_crr_us(const CompareResult& result) {
  for (const Contender& row : result.rows) {
    const auto cell = row.cells.find("crr");
    if (row.label != "glassbox" || cell == row.cells.end()) continue;
    if (const auto p50 = summarize(pooled(cell->second.rounds)).p50_ns)
      return static_cast<double>(*p50) / 1e3;
  }
  return std::nullopt;
}

std::optional<double> number_at(const json& report, const char* where) {
  const json found = report.value(json::json_pointer(where), json());
  return found.is_number() ? std::optional(found.get<double>()) : std::nullopt;
}

// How many times the untraced cycle a traced one took: that of the rounds or, without such, the one that ran
// around the trace.
std::optional<double> slowdown(const CompareResult& result, const json& report) {
  const auto traced = number_at(report, kTracedP50);
  const auto measured = measured_crr_us(result);
  const auto untraced = measured ? measured : number_at(report, kUntracedP50);
  if (!traced || !untraced || *untraced <= 0) return std::nullopt;
  return *traced / *untraced;
}

std::string comparison(const CompareResult& result) {
  const auto traced = number_at(result.traced, kTracedP50), around = number_at(result.traced, kUntracedP50);
  if (!traced || !around) return {};
  std::string line =
      fmt::format("traced run: CRR p50 {:.0f} us, untraced around it {:.0f}", *traced, *around);
  if (const auto measured = measured_crr_us(result)) line += fmt::format(", in the rounds {:.0f}", *measured);
  if (const auto times = slowdown(result, result.traced); times && *times > kComparable) {
    line += fmt::format(": {:.1f} times as slow in {} {}, no explanation of these times", *times,
                        result.traced_tries, result.traced_tries == 1 ? "try" : "tries");
  }
  return line;
}

std::vector<std::string> segments(const CompareResult& result, bool only_request) {
  if (result.traced.is_null()) {
    if (result.trace_missing.empty()) return {};
    return {"not traced: " + result.trace_missing};
  }
  json report = result.traced;
  if (only_request) {
    json kept = json::array();
    for (const json& segment : report["segments"]) {
      const bool of_rr = std::any_of(kRequestAndReply.begin(), kRequestAndReply.end(),
                                     [&](const char* id) { return segment.value("id", "") == id; });
      if (of_rr) kept.push_back(segment);
    }
    report["segments"] = std::move(kept);
  }
  const json summary = summary_of_trace(report);
  std::vector<std::string> lines;
  if (auto line = comparison(result); !line.empty()) lines.push_back(std::move(line));
  const std::size_t limit = lines.size() + kShown;
  for (const json& segment : summary["segments"]) {
    if (lines.size() == limit) break;
    if (!segment["p50_us"].is_number()) continue;
    lines.push_back(fmt::format("traced, {:4.1f} % of a CRR: {}, {}: p50 {:.0f} us",
                                segment["share"].get<double>() * 100, segment["side"].get<std::string>(),
                                segment["label"].get<std::string>(), segment["p50_us"].get<double>()));
  }
  return lines;
}

const KernelCounts* crr_counts(const CompareResult& result, const std::string& label) {
  for (const Contender& row : result.rows) {
    const auto cell = row.cells.find("crr");
    if (row.label == label && cell != row.cells.end() && cell->second.kernel) return &*cell->second.kernel;
  }
  return nullptr;
}

std::string exits_by_reason(const CompareResult& result, const std::string& peer) {
  const KernelCounts* const ours = crr_counts(result, "glassbox");
  const KernelCounts* const theirs = crr_counts(result, peer);
  if (ours == nullptr || theirs == nullptr || ours->by_reason.empty()) return {};
  return fmt::format("exits: {}; {}: {}", largest(ours->by_reason), peer, largest(theirs->by_reason));
}

std::vector<std::string> stages(const CompareResult& result) {
  std::vector<std::string> lines;
  const auto ms = [](const Rounds& rounds) {
    return static_cast<double>(summarize(pooled(rounds)).p50_ns.value_or(0)) / 1e6;
  };
  for (const BootRow& row : result.boots) {
    if (row.label != "glassbox") continue;
    double before = 0;
    for (const auto& [stage, rounds] : row.stages) {
      lines.push_back(fmt::format("until {}: {:.1f} ms more", stage_name(stage), ms(rounds) - before));
      before = ms(rounds);
    }
  }
  return lines;
}

}  // namespace

void trace_misses(CompareResult& result, Watch& watch, Progress& progress) {
  trace_misses(
      result,
      [&]() -> Result<json> {
        if (watch.signal() != 0) return fail("interrupted");
        return traced_run(result.spec, watch);
      },
      progress);
}

void trace_misses(CompareResult& result, const TracedRun& run, Progress& progress) {
  const auto targets = targets_of(result);
  const bool wanted = std::any_of(targets.begin(), targets.end(), [](const Target& target) {
    return missed(target) && target.about != Target::About::kBoot;
  });
  if (!wanted) return;
  progress.stage("tracing glassbox, since a target is missed");
  std::optional<double> best;
  for (int i = 0; i < kTries; ++i) {
    auto report = run();
    if (!report) {
      if (result.traced.is_null()) result.trace_missing = report.error().message;
      return;
    }
    ++result.traced_tries;
    const auto times = slowdown(result, *report);
    if (result.traced.is_null() || (times && best && *times < *best)) {
      result.traced = std::move(*report);
      best = times;
    }
    if (!best || *best <= kComparable) return;
    if (times) progress.note(fmt::format("the traced run was {:.1f} times as slow as the rounds", *times));
  }
}

std::vector<std::string> where_held(const CompareResult& result, const Target& target) {
  if (!missed(target)) return {};
  if (target.about == Target::About::kBoot) return stages(result);
  std::vector<std::string> lines;
  if (target.about == Target::About::kCount) {
    if (auto line = exits_by_reason(result, target.peer); !line.empty()) lines.push_back(std::move(line));
  }
  for (std::string& line : segments(result, target.about == Target::About::kRr))
    lines.push_back(std::move(line));
  return lines;
}

}  // namespace glassbox::bench
