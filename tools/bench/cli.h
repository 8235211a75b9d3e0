// The options of `glassbox-bench crr` and `glassbox-bench compare`, and compare's run with its reports.
//
// tools/demo searches cli.cc for add_option("--NAME" and add_flag("--NAME" to check arguments before the
// program is built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/bench/process/watch.h"
#include "tools/bench/spec.h"
#include "vmm/base/options.h"

namespace glassbox::bench {

// The words of `crr` that need parsing.
struct CrrArgs {
  std::string workload = "fork";
  std::string server = "blocking";
  std::string stack = "glassbox";
  std::string named_case;
  bool ipv6 = false;
  std::optional<std::uint32_t> untraced;
  Spec spec = crr_defaults();
};

void add_crr(options::App& app, CrrArgs& args);
// Parsed and checked.
[[nodiscard]] Result<Spec> resolve(const CrrArgs& args);

void add_compare(options::App& app, Spec& spec);

// Prints the table, also after a signal, and writes the files. True if every stack that was asked for has its
// figures and the null test holds.
[[nodiscard]] Result<bool> run_and_report(const Spec& spec, Watch& watch);

}  // namespace glassbox::bench
