// Runs `glassbox-bench compare` of this build as its user does.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/bench/process/child.h"

namespace glassbox::bench {

struct Outcome {
  int status = -1;
  std::string out, err;
};

inline std::filesystem::path bench_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "glassbox-bench";
}

// path: in place of PATH.
inline std::unique_ptr<Child> start_compare(std::vector<std::string> more, const std::string& path = {}) {
  std::vector<std::string> argv;
  if (!path.empty()) argv = {"/usr/bin/env", "PATH=" + path};
  argv.insert(argv.end(), {bench_program(), "compare"});
  argv.insert(argv.end(), more.begin(), more.end());
  auto child = Child::start({.what = "compare", .argv = std::move(argv), .stop_signal = SIGINT});
  EXPECT_TRUE(child.has_value());
  return std::move(*child);
}

inline Outcome ended(Child& child) {
  while (!child.wait(1000)) {
  }
  return {child.reap()->code, child.out(), child.err()};
}

inline Outcome compare_cli(std::vector<std::string> more, const std::string& path = {}) {
  return ended(*start_compare(std::move(more), path));
}

inline nlohmann::json parse(const Outcome& outcome) {
  return nlohmann::json::parse(outcome.out, nullptr, false);
}

}  // namespace glassbox::bench
