#include "tests/system/bench/system_test.h"

#include <fstream>

namespace glassbox::bench::testing {

namespace fs = std::filesystem;

fs::path build_dir() {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path();
}
fs::path source_dir() {
  return GB_SOURCE_DIR;
}
std::string program_path(const std::string& name) {
  return build_dir() / name;
}
fs::path traces_dir() {
  return build_dir() / "tests" / "bench-traces";
}

ProgramResult run(std::vector<std::string> argv) {
  const std::string what = argv.front();
  auto child = Child::start({.what = what, .argv = std::move(argv)});
  if (!child) return {-1, "", child.error().message};
  while (!(*child)->wait(1000)) {
  }
  return {(*child)->reap()->code, (*child)->out(), (*child)->err()};
}

nlohmann::json read_json(const fs::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
}

}  // namespace glassbox::bench::testing
