// `glassbox-bench compare`: its options, and a run with its reports.
#pragma once

#include "tools/bench/compare_spec.h"
#include "tools/bench/process/watch.h"
#include "vmm/base/options.h"

namespace glassbox::bench {

void add_compare(options::App& app, CompareSpec& spec);

// Prints the table, also after a signal, and writes the files. True where every stack that was asked for has
// its figures and the null test holds.
[[nodiscard]] Result<bool> run_and_report(const CompareSpec& spec, Watch& watch);

}  // namespace glassbox::bench
