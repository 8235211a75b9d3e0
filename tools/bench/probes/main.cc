// bench_probes: what the probes cost while no tracer is attached, and how many events a second the recorder
// takes.
#include <bpf/libbpf.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>

#include "tools/bench/measure/machine_description.h"
#include "tools/bench/probes/event_rate.h"
#include "tools/bench/probes/frame_cost.h"
#include "tools/trace/record/calibrate.h"
#include "vmm/base/log.h"
#include "vmm/base/options.h"

namespace glassbox::bench {
namespace {

int failed(const std::string& message) {
  spdlog::error("{}", message);
  return 1;
}

int finish(nlohmann::json result, const std::string& path) {
  if (path.empty()) return 0;
  result["machine"] = describe_machine();
  result["versions"] = {
      {"glassbox", GLASSBOX_VERSION}, {"libbpf", libbpf_version_string()}, {"compiler", __VERSION__}};
  std::ofstream file(path);
  file << result.dump(1) << '\n';
  return file.flush() ? 0 : failed("cannot write " + path);
}

int run_off(const std::string& json_path) {
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
  nlohmann::json result = frame_cost_json(*costs);
  if (hit) result["hit_ns"] = hit->hit_ns;
  return finish(std::move(result), json_path);
}

int run_rate(const std::vector<double>& rates, double seconds, const std::string& json_path) {
  nlohmann::json rows = nlohmann::json::array();
  for (const double asked : rates) {
    const auto rate = measure_event_rate(asked, seconds, std::filesystem::temp_directory_path());
    if (!rate) return failed(rate.error().message);
    fmt::print("{}", event_rate_line(*rate));
    std::fflush(stdout);
    rows.push_back(event_rate_json(*rate));
  }
  return finish({{"rates", rows}}, json_path);
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox::bench;
  glassbox::log_init("bench_probes", false);
  glassbox::options::App app(
      "bench_probes: what the probes cost, and how many events a second can be recorded", "bench_probes");
  app.require_subcommand(1);
  std::string json;
  double seconds = 10;
  std::vector<double> rates = {50'000, 100'000, 200'000};
  auto* off = app.add_subcommand(
      "off", "Instructions of the frame path while no tracer is attached (needs valgrind)");
  auto* rate = app.add_subcommand("rate", "Probes fired at given rates while they are recorded (needs root)");
  rate->add_option("--events", rates, "rates, events a second")
      ->delimiter(',')
      ->check(glassbox::options::positive_number())
      ->capture_default_str();
  rate->add_option("--seconds", seconds, "of each")
      ->check(glassbox::options::positive_number())
      ->capture_default_str();
  for (auto* command : {off, rate})
    command->add_option("--json", json, "the figures as JSON too");
  app.footer(
      "Example: bench_probes rate --events 200000 --json result.json\nExit status: 0, 1 failure, 2 usage.");
  if (const auto parsed = app.parse(argc, argv); !parsed.proceed)
    return glassbox::options::finish(parsed, "bench_probes");
  return off->parsed() ? run_off(json) : run_rate(rates, seconds, json);
}
