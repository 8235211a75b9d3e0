// bench_net: the NAT beside its peers at native speed, without a VM.
#include <CLI/CLI.hpp>
#include <fstream>

#include "tools/bench/net/agent.h"
#include "tools/bench/net/bare_nat.h"
#include "tools/bench/net/measure.h"
#include "tools/bench/net/net_report.h"
#include "tools/bench/net/net_stack.h"
#include "vmm/base/log.h"

namespace glassbox::bench {
namespace {

constexpr const char* kFooter =
    "Stacks: loopback, veth (root), bare and bare-spin (the least NAT that carries the cycle), pasta "
    "(package "
    "passt), slirp4netns, netns-off and netns-adaptive (glassbox netns --poll off and adaptive).\n"
    "As root the stacks run as an ordinary user (SUDO_UID or nobody), which must be able to reach this "
    "program's directory.\n"
    "Examples:\n"
    "  bench_net                                     everything, about two minutes\n"
    "  bench_net --stack pasta,netns-off --stream-mib 0   CRR and RR of two stacks\n"
    "  bench_net --rounds 0 --stack netns-off        streams only\n"
    "  bench_net --json result.json                  the figures as JSON too\n"
    "Exit status: 0; 1 if a stack that was named has no figures, or on failure; 2 usage.";

// Commands that this program gives itself, in namespaces and as servers.
std::optional<int> own_errand(int argc, char** argv) {
  const std::string_view errand = argc > 2 ? argv[1] : "";
  if (errand == "agent") return run_agent(argv[2], argc > 3);
  if (errand == "serve") serve_exchanges(std::atoi(argv[2]));
  if (errand == "bare-nat" && argc > 3) {
    const auto status = run_bare_nat({argv + 3, argv + argc}, std::string_view(argv[2]) == "spin");
    if (status) return *status;
    spdlog::error("{}", status.error().message);
    return 1;
  }
  return std::nullopt;
}

int run(const NetSpec& spec, const std::string& json_path) {
  const nlohmann::json machine = describe_machine();
  const auto rows = measure_net(spec);
  if (!rows) {
    spdlog::error("{}", rows.error().message);
    return 1;
  }
  fmt::print("{}", net_table(machine, *rows));
  if (!json_path.empty()) {
    nlohmann::json result = net_json(spec, machine, *rows);
    result["machine"]["load_average_after"] = describe_machine()["load_average"];
    std::ofstream file(json_path);
    file << result.dump(1) << '\n';
    if (!file.flush()) {
      spdlog::error("cannot write {}", json_path);
      return 1;
    }
  }
  const bool missing = !spec.stacks.empty() && std::any_of(rows->begin(), rows->end(), [](const NetRow& row) {
    return !row.refused.empty();
  });
  return missing ? 1 : 0;
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
  for (const NetStackKind& kind : net_stack_kinds())
    names.push_back(kind.name);
  CLI::App app{"TCP latency, throughput, system calls and CPU time of user-mode NATs, interleaved in rounds"};
  app.set_version_flag("--version", "bench_net " GLASSBOX_VERSION);
  app.add_option("--stack", spec.stacks, "stacks to measure, by name (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember(names));
  app.add_option("--rounds", spec.rounds, "rounds of CRR and RR; 0 for none")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  app.add_option("--cycles", spec.cycles, "exchanges of a stack in a round")
      ->capture_default_str()
      ->check(CLI::Range(1, 20'000));
  app.add_option("--stream-mib", spec.stream_mib, "size of a stream in MiB; 0 for none")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--stream-rounds", spec.stream_rounds, "rounds of streams")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--stream-mtu", spec.stream_mtus, "MTUs of the streams")
      ->delimiter(',')
      ->check(CLI::Range(576, 65520));
  app.add_option("--json", json_path, "file for the figures as JSON");
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(spec, json_path);
}
