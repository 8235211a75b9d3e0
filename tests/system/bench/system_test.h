// What the system tests of the launcher share: where programs and traces are, and how to run a program to its
// end.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"

namespace glassbox::bench::testing {

[[nodiscard]] std::filesystem::path build_dir();
[[nodiscard]] std::filesystem::path source_dir();
[[nodiscard]] std::string program_path(const std::string& name);
// Where bench_record leaves fork.json, fork.trace and so on; made anew by it.
[[nodiscard]] std::filesystem::path traces_dir();

struct Outcome {
  int status = -1;  // as a shell has it
  std::string out, err;
};
// Runs it to its end; the ctest time-out is the limit.
[[nodiscard]] Outcome run(std::vector<std::string> argv);

[[nodiscard]] nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace glassbox::bench::testing
