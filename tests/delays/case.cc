#include "tests/delays/case.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/delays/client.h"
#include "tests/delays/recording.h"

namespace glassbox::delays {
namespace {

constexpr std::size_t kWarmUp = 4;  // even, so that pairs stay pairs
constexpr int kAttempts = 3;

struct RecordedRun {
  trace::Trace trace;
  std::vector<std::int64_t> delay_ns;  // for each recorded cycle
};

std::int64_t client_delay(const nlohmann::json& result, MeasuredBy by, std::size_t cycle) {
  const auto at = [&](const char* list, std::size_t k) {
    return result.at(list).at(cycle).at(k).get<std::int64_t>();
  };
  switch (by) {
    case MeasuredBy::kConnect:
      return at("stamps_ns", 0) - at("cycle_ns", 0);
    case MeasuredBy::kRestOfReply:
      return at("stamps_ns", 3) - at("stamps_ns", 2);
    default:
      return result.at("delay_ns").at(cycle).get<std::int64_t>();
  }
}

Result<RecordedRun> run(const Case& one, const Site& site, std::size_t pairs) {
  DelayServer server(one.server);
  std::vector<std::string> argv = site.client(server.port());
  argv.insert(argv.end(), one.client_options.begin(), one.client_options.end());
  // One cycle more than will run, so that the client ends only when it is told to.
  GB_ASSIGN(StepClient client, StepClient::start(std::move(argv), kWarmUp + 2 * pairs + 1));
  std::vector<std::int64_t> injected;
  const auto cycle = [&](std::size_t k) -> Status {
    const bool delayed = k % 2 == 1;
    server.arm(delayed);
    if (one.before) GB_TRY(one.before(delayed));
    GB_TRY(client.go());
    if (one.during) GB_TRY(one.during(delayed));
    GB_TRY(client.wait_for_end());
    server.settle();
    injected.push_back(one.measure ? one.measure() : 0);
    return {};
  };
  for (std::size_t k = 0; k < kWarmUp; ++k)
    GB_TRY(cycle(k));
  const auto file =
      std::filesystem::temp_directory_path() / fmt::format("glassbox-delays-{}.trace", ::getpid());
  GB_ASSIGN(Recording recording, Recording::start(site.record(client.pid()), file));
  for (std::size_t k = 0; k < 2 * pairs; ++k)
    GB_TRY(cycle(k));
  RecordedRun out;
  auto trace = recording.finish();
  const char* keep = std::getenv("GLASSBOX_DELAYS_KEEP");
  if (keep != nullptr)
    std::filesystem::copy_file(file, std::filesystem::path(keep) / (one.name + ".trace"),
                               std::filesystem::copy_options::overwrite_existing);
  std::filesystem::remove(file);
  GB_ASSIGN(out.trace, std::move(trace));
  GB_ASSIGN(const nlohmann::json result, client.finish());
  for (std::size_t k = kWarmUp; k < kWarmUp + 2 * pairs; ++k) {
    switch (one.measured_by) {
      case MeasuredBy::kServer:
        out.delay_ns.push_back(server.delays().at(k));
        break;
      case MeasuredBy::kInjector:
        out.delay_ns.push_back(injected.at(k));
        break;
      default:
        out.delay_ns.push_back(client_delay(result, one.measured_by, k));
    }
  }
  return out;
}

Judgement judge(const Case& one, const RecordedRun& run) {
  const trace::ClockReport clock = trace::derive_clock(run.trace);
  trace::Attribution cycles = trace::attribute(run.trace, clock);
  std::sort(cycles.cycles.begin(), cycles.cycles.end(),
            [](const auto& a, const auto& b) { return a.begin_ns < b.begin_ns; });
  if (cycles.cycles.size() != run.delay_ns.size())
    return {Decision::kFails, fmt::format("  {} of {} cycles are in the trace, {} incomplete\n",
                                          cycles.cycles.size(), run.delay_ns.size(), cycles.incomplete)};
  const trace::CycleStates states(run.trace, clock);
  const Places places = places_of(cycles, states, one.expect.starved);
  Judgement out = judge_places(places, run.delay_ns, one.expect.holder, clock.bound_ns);
  const Judgement verdicts = judge_verdicts(run.trace, one.expect.verdict);
  out.text += fmt::format("  only {} is confirmed: {}\n{}", one.expect.verdict,
                          verdicts.decision == Decision::kHolds ? "yes" : "NO", verdicts.text);
  if (verdicts.decision == Decision::kFails) out.decision = Decision::kFails;
  return out;
}

}  // namespace

Result<std::chrono::nanoseconds> typical_cycle(const Site& site) {
  constexpr std::size_t kCycles = 21;
  DelayServer server({});
  GB_ASSIGN(StepClient client, StepClient::start(site.client(server.port()), kCycles + 1));
  for (std::size_t k = 0; k < kCycles; ++k) {
    server.arm(false);
    GB_TRY(client.go());
    GB_TRY(client.wait_for_end());
    server.settle();
  }
  GB_ASSIGN(const nlohmann::json result, client.finish());
  std::vector<std::int64_t> took_ns;
  for (const auto& cycle : result.at("cycle_ns"))
    took_ns.push_back(cycle.at(1).get<std::int64_t>());
  return std::chrono::nanoseconds(median_of(std::move(took_ns)).median_ns);
}

bool holds(const Case& one, const Site& site) {
  std::size_t pairs = one.pairs;
  for (int attempt = 1; attempt <= kAttempts; ++attempt, pairs *= 2) {
    const auto recorded = run(one, site, pairs);
    if (!recorded) {
      ADD_FAILURE() << one.name << ": " << recorded.error().message;
      return false;
    }
    const Judgement judgement = judge(one, *recorded);
    std::printf("%s, attempt %d, %zu pairs:\n%s", one.name.c_str(), attempt, pairs, judgement.text.c_str());
    std::fflush(stdout);
    if (judgement.decision != Decision::kUndecided) return judgement.decision == Decision::kHolds;
  }
  return false;
}

}  // namespace glassbox::delays
