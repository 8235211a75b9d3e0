// The JSON of crr, of its case and of compare follows one schema, report/bench.schema.json. A validator that
// is not part of this project decides.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/tools/bench/report/samples.h"
#include "tools/bench/cases/accept_poll.h"
#include "tools/bench/report/crr_report.h"
#include "tools/bench/report/json.h"

namespace glassbox::bench {
namespace {

bool has_validator() {
  return std::system("python3 -c 'import jsonschema' 2>/dev/null") == 0;
}

bool accepts(const nlohmann::json& report) {
  std::string path = std::filesystem::temp_directory_path() / "glassbox-bench-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) return false;
  ::close(fd);
  std::ofstream(path) << report.dump();
  const std::string command =
      "python3 -W ignore -c 'import json,sys,jsonschema; s=json.load(open(sys.argv[1])); "
      "jsonschema.validate(json.load(open(sys.argv[2])), s, "
      "resolver=jsonschema.RefResolver(\"file://\" + sys.argv[1], s))' " GB_SOURCE_DIR
      "/tools/bench/report/bench.schema.json '" +
      path + "' 2>&1 | tail -n 30";
  // The validator prints nothing if it accepts.
  FILE* const out = ::popen(command.c_str(), "r");
  std::string said;
  for (int c = 0; out != nullptr && (c = std::fgetc(out)) != EOF;)
    said += static_cast<char>(c);
  if (out != nullptr) ::pclose(out);
  std::filesystem::remove(path);
  if (!said.empty()) std::printf("%s", said.c_str());
  return out != nullptr && said.empty();
}

CrrResult crr_result() {
  CrrResult result;
  result.spec = crr_defaults();
  result.machine = {{"kind", "lab"}, {"cpu", "a CPU"}, {"kernel", "Linux"}, {"virtualization", nullptr}};
  result.cycle_ns.assign(200, 8'510'000);
  return result;
}

// With everything that a report may have.
CompareResult compare_result() {
  CompareResult result = sample();
  result.spec.workloads = {"crr", "boot"};
  result.null_test.harness = result.null_test.plain = moody(1000, 8, 1, 5);
  Cell& cell = result.rows[0].cells["crr"];
  cell.kernel = KernelCounts{.calls = 2, .wakeups = 1, .exits = 0, .by_call = {{"read", 2}}, .by_reason = {}};
  cell.quiet = {{0.1, 2, 4096}};
  cell.explanation = NativeExplanation{.shares = {{"NAT", 0.5, 0.2, 0.3}},
                                       .shares_missing = {},
                                       .trace = {{"segments", nlohmann::json::array()}},
                                       .trace_missing = {}};
  result.rows[1].restarts.push_back({"crr", "round 3", "QEMU exited 0"});
  result.rows[1].cells["crr"].uncounted = "QEMU exited 1";
  result.rows[2].cells["crr"].failed = "broke";
  BootRow& boot = result.boots.emplace_back();
  boot.label = "glassbox";
  boot.ready = boot.first_entry = {{300'000'000}};
  boot.stages = {{1, {{100'000'000}}}};
  boot.exits = {400};
  result.counts_missing = "no root";
  result.traced = {{"segments", nlohmann::json::array()}};
  result.trace_missing = "no root";
  return result;
}

TEST(Schema, HoldsForCrr) {
  if (!has_validator()) GTEST_SKIP() << "python3-jsonschema is not installed";
  const CrrResult result = crr_result();
  EXPECT_TRUE(accepts(json_report(result, summarize(result.cycle_ns))));
}

TEST(Schema, HoldsForTheCase) {
  if (!has_validator()) GTEST_SKIP() << "python3-jsonschema is not installed";
  std::vector<AcceptPollRun> runs(3);
  for (AcceptPollRun& run : runs) {
    run.result = crr_result();
    run.server_ns = run.result.cycle_ns;
  }
  EXPECT_TRUE(accepts(accept_poll_json(runs)));
}

TEST(Schema, HoldsForCompare) {
  if (!has_validator()) GTEST_SKIP() << "python3-jsonschema is not installed";
  EXPECT_TRUE(accepts(compare_json(compare_result())));
  // The check can fail.
  auto json = compare_json(compare_result());
  json["stacks"][0]["workloads"]["crr"]["p50_us"] = "fast";
  EXPECT_FALSE(accepts(json));
  json = compare_json(compare_result());
  json["targets"][0]["verdict"] = "met";
  EXPECT_FALSE(accepts(json));
}

}  // namespace
}  // namespace glassbox::bench
