// bench_net: the NAT beside its peers at native speed, without a VM.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>

#include "tools/bench/net/explain.h"
#include "tools/bench/net/measure.h"
#include "tools/bench/net/net_report.h"
#include "tools/bench/net/servers.h"
#include "tools/bench/stacks/agent.h"
#include "tools/bench/stacks/bare_nat.h"
#include "tools/bench/stacks/net_stack.h"
#include "vmm/base/log.h"
#include "vmm/base/usage.h"

namespace glassbox::bench {
namespace {

constexpr const char* kFooter =
    "Stacks: loopback, veth (root), relay (one buffer between two sockets; streams only), bare and bare-spin "
    "(the least NAT that carries the cycle; no streams), pasta (package passt), slirp4netns, netns-off and "
    "netns-adaptive (glassbox netns --poll off and adaptive).\n"
    "As root the stacks run as an ordinary user (SUDO_UID or nobody), which must be able to reach this "
    "program's directory.\n"
    "Examples:\n"
    "  bench_net                                     everything, about five minutes\n"
    "  bench_net --rows latency --stack pasta,netns-off   CRR and RR of two stacks\n"
    "  bench_net --rows streams --json s.json        streams of all\n"
    "  bench_net --merge l.json s.json --json all.json    one result of several parts, and its verdicts\n"
    "  bench_net --json result.json                  the figures as JSON too\n"
    "Exit status: 0; 1 if a stack that was named has no figures, or on failure; 2 usage.";

// Commands that this program gives itself, in namespaces and as servers.
std::optional<int> own_errand(int argc, char** argv) {
  const std::string_view errand = argc > 2 ? argv[1] : "";
  if (errand == "agent") return run_agent(argv[2], argc > 3);
  if (errand == "serve") serve_exchanges(std::atoi(argv[2]));
  if (errand == "hold") serve_hold(std::atoi(argv[2]));
  if (errand == "relay" && argc > 3)
    serve_relay(std::atoi(argv[2]), static_cast<std::uint16_t>(std::atoi(argv[3])));
  if (errand == "bare-nat" && argc > 3) {
    const auto status = run_bare_nat({argv + 3, argv + argc}, std::string_view(argv[2]) == "spin");
    if (status) return *status;
    spdlog::error("{}", status.error().message);
    return 1;
  }
  return std::nullopt;
}

int report(const nlohmann::json& result, const std::string& json_path) {
  fmt::print("{}", net_table(result));
  if (json_path.empty()) return 0;
  std::ofstream file(json_path);
  file << result.dump(1) << '\n';
  if (file.flush()) return 0;
  spdlog::error("cannot write {}", json_path);
  return 1;
}

int run(const NetSpec& spec, const std::string& explain, const std::string& json_path) {
  const nlohmann::json machine = describe_machine();
  const auto rows = measure_net(spec);
  if (!rows) {
    spdlog::error("{}", rows.error().message);
    return 1;
  }
  nlohmann::json result = net_json(spec, machine, *rows);
  result["machine"]["load_average_after"] = describe_machine()["load_average"];
  if (explain != "none") result["explanations"] = explain_targets(spec, result["targets"], explain == "all");
  if (const int status = report(result, json_path); status != 0) return status;
  const bool missing = !spec.stacks.empty() && std::any_of(rows->begin(), rows->end(), [](const NetRow& row) {
    return !row.refused.empty();
  });
  return missing ? 1 : 0;
}

int merge(const std::vector<std::string>& paths, const std::string& json_path) {
  std::vector<nlohmann::json> results;
  for (const std::string& path : paths) {
    std::ifstream file(path);
    results.push_back(nlohmann::json::parse(file, nullptr, false));
  }
  const auto merged = merge_net_json(results);
  if (merged) return report(*merged, json_path);
  spdlog::error("{}", merged.error().message);
  return 1;
}

Parts parts_of(const std::vector<std::string>& names) {
  const auto has = [&](const char* name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  return {
      .latency = has("latency"), .streams = has("streams"), .parallel = has("parallel"), .idle = has("idle")};
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox;
  using namespace glassbox::bench;
  log_init("bench_net", false);
  if (const auto status = own_errand(argc, argv)) return *status;
  NetSpec spec;
  std::string json_path;
  std::vector<std::string> names;
  std::vector<std::string> parts;
  std::vector<std::string> merged;
  std::string explain = "missed";
  for (const NetStackKind& kind : net_stack_kinds())
    names.push_back(kind.name);
  CLI::App app{"TCP latency, throughput, system calls and CPU time of user-mode NATs, interleaved in rounds"};
  app.set_version_flag("--version", "bench_net " GLASSBOX_VERSION);
  app.add_option("--stack", spec.stacks, "stacks to measure, by name (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember(names));
  app.add_option("--rows", parts, "what to measure: latency, streams, parallel, idle (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"latency", "streams", "parallel", "idle"}));
  app.add_option("--merge", merged, "results of earlier runs to make one of, instead of measuring");
  app.add_option("--rounds", spec.rounds, "rounds of CRR and RR")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--cycles", spec.cycles, "exchanges of a stack in a round")
      ->capture_default_str()
      ->check(CLI::Range(1, 20'000));
  app.add_option("--stream-mib", spec.stream_mib, "size of a stream in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--stream-rounds", spec.stream_rounds, "rounds of streams")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--stream-mtu", spec.stream_mtus, "MTUs of the streams")
      ->delimiter(',')
      ->check(CLI::Range(576, 65520));
  app.add_option("--idle-flows", spec.idle_flows, "open flows that do nothing")
      ->capture_default_str()
      ->check(CLI::Range(1, 15'000));
  app.add_option("--explain", explain,
                 "targets for which a traced run and counts say where the time goes: missed, none, all")
      ->capture_default_str()
      ->check(CLI::IsMember({"missed", "none", "all"}));
  app.add_option("--json", json_path, "file for the figures as JSON");
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return glassbox::exit_for_usage(app, error);
  }
  if (!merged.empty()) return merge(merged, json_path);
  spec.parts = parts_of(parts);
  return run(spec, explain, json_path);
}
