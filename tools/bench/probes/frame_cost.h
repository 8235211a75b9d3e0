// What a guest's segment of one byte costs the NAT's frame path in instructions: with the probes compiled in
// and no tracer attached, compiled out, and with a line of spdlog at each site instead.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

struct FrameCost {
  std::string name;                    // of the variant: "compiled out", ...
  double instructions = 0;             // a segment
  double probes = 0;                   // probe sites passed a segment; counted where there are probes
  std::vector<std::string> functions;  // that ran more than once in a hundred segments
};

struct FrameCosts {
  FrameCost none, probes, log_off, log_on;
  [[nodiscard]] double nops() const { return probes.probes; }
  // What the probes take beyond their nops: moves of arguments.
  [[nodiscard]] double moves() const { return probes.instructions - none.instructions - nops(); }
};

// `programs` is the directory of the frame_path programs.
[[nodiscard]] Result<FrameCosts> measure_frame_costs(const std::string& programs);

[[nodiscard]] std::string frame_cost_table(const FrameCosts& costs);
[[nodiscard]] nlohmann::json frame_cost_json(const FrameCosts& costs);

}  // namespace glassbox::bench
