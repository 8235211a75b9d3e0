// bench_probes: the frame path's instructions with and without probes.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "tools/bench/net/net_report.h"
#include "tools/bench/probes/frame_cost.h"
#include "tools/trace/calibrate.h"
#include "vmm/base/log.h"
#include "vmm/base/usage.h"

namespace glassbox::bench {
namespace {

int failed(const std::string& message, int status = 1) {
  spdlog::error("{}", message);
  return status;
}

int run(const std::string& json_path) {
  const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  const auto costs = measure_frame_costs(programs);
  if (!costs) return failed(costs.error().message);
  fmt::print("{}", frame_cost_table(*costs));
  const auto hit = trace::measure_probe_cost();
  if (hit)
    fmt::print("listened to, each passed probe costs {:.2f} us more (measured, {} hits)\n",
               static_cast<double>(hit->hit_ns) / 1000, hit->hits);
  else
    fmt::print("what a probe costs that is listened to was not measured: {}\n", hit.error().message);
  if (json_path.empty()) return 0;
  nlohmann::json result = frame_cost_json(*costs);
  result["machine"] = describe_machine();
  result["compiler"] = __VERSION__;
  if (hit) result["hit_ns"] = hit->hit_ns;
  std::ofstream file(json_path);
  file << result.dump(1) << '\n';
  return file.flush() ? 0 : failed("cannot write " + json_path);
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox::bench;
  glassbox::log_init("bench_probes", false);
  CLI::App app("bench_probes: what the probes cost the frame path while nobody listens (needs valgrind)",
               "bench_probes");
  std::string json;
  app.add_option("--json", json, "the figures as JSON too");
  app.footer("Example: bench_probes --json result.json\nExit status: 0, 1 failure, 2 usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return glassbox::exit_for_usage(app, error);
  }
  return run(json);
}
