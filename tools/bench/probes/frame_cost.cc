#include "tools/bench/probes/frame_cost.h"

#include <fmt/format.h>

#include "bpf/sdt_notes.h"
#include "tools/bench/probes/instruction_count.h"

namespace glassbox::bench {
namespace {

constexpr int kFew = 100, kMany = 1100;
constexpr double kSegments = kMany - kFew;

// Start-up and handshake are in both runs and fall out of the difference.
Result<FrameCost> cost_of(std::string name, const std::string& program, const std::string& log_file = {}) {
  const auto count = [&](int segments) {
    std::vector<std::string> command = {program, std::to_string(segments)};
    if (!log_file.empty()) command.push_back(log_file);
    return count_instructions(command, "*::NatImpl::on_guest_frame(*");
  };
  GB_ASSIGN(InstructionCount few, count(kFew));
  GB_ASSIGN(const InstructionCount many, count(kMany));
  GB_ASSIGN(const auto notes, bpf::read_sdt_notes(program));
  FrameCost cost{.name = std::move(name),
                 .instructions = static_cast<double>(many.total - few.total) / kSegments,
                 .functions = {}};
  for (const bpf::SdtNote& note : notes) {
    const auto passed = many.at.find(note.site);
    if (note.provider != "glassbox" || passed == many.at.end()) continue;
    cost.probes += static_cast<double>(passed->second - few.at[note.site]) / kSegments;
  }
  for (const auto& [function, instructions] : many.functions)
    if (static_cast<double>(instructions - few.functions[function]) / kSegments > 0.01)
      cost.functions.push_back(function);
  return cost;
}

}  // namespace

Result<FrameCosts> measure_frame_costs(const std::string& programs) {
  const std::string log = programs + "/frame_path_net_log_probes";
  FrameCosts costs;
  GB_ASSIGN(costs.none, cost_of("probes compiled out", programs + "/frame_path_net_no_probes"));
  GB_ASSIGN(costs.probes, cost_of("probes, no tracer", programs + "/frame_path_net"));
  GB_ASSIGN(costs.log_off, cost_of("spdlog trace lines, level info", log));
  GB_ASSIGN(costs.log_on, cost_of("spdlog trace lines, to a file", log, "/dev/null"));
  if (costs.probes.probes == 0) return fail("no probe of {}/frame_path_net was passed", programs);
  return costs;
}

std::string frame_cost_table(const FrameCosts& costs) {
  std::string table =
      fmt::format("{:<34}{:>12}{:>10}\n", "a guest's segment of one byte", "instructions", "more");
  for (const FrameCost* row : {&costs.none, &costs.probes, &costs.log_off, &costs.log_on})
    table += fmt::format("{:<34}{:>12.1f}{:>10.1f}\n", row->name, row->instructions,
                         row->instructions - costs.none.instructions);
  return table + fmt::format("{:.1f} probe sites passed a segment: {:.1f} nops, {:.1f} of arguments\n",
                             costs.probes.probes, costs.nops(), costs.moves());
}

nlohmann::json frame_cost_json(const FrameCosts& costs) {
  nlohmann::json rows = nlohmann::json::array();
  for (const FrameCost* row : {&costs.none, &costs.probes, &costs.log_off, &costs.log_on})
    rows.push_back({{"variant", row->name}, {"instructions", row->instructions}});
  return {{"per", "guest segment of one byte"},
          {"rows", rows},
          {"probe_sites_passed", costs.probes.probes},
          {"argument_instructions", costs.moves()}};
}

}  // namespace glassbox::bench
