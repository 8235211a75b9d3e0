// Shared by the system tests of launcher and collector: the paths of programs and traces, and how to run a
// program to its end.
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
// bench_record empties this folder and writes fork.json, fork.trace and so on into it.
[[nodiscard]] std::filesystem::path traces_dir();

struct ProgramResult {
  int status = -1;  // as a shell gives it: exit status, or 128 + signal
  std::string out, err;
};
// Runs the program to its end. Only ctest's time-out limits it.
[[nodiscard]] ProgramResult run(std::vector<std::string> argv);

[[nodiscard]] nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace glassbox::bench::testing
