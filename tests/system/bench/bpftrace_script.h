// Runs a script of tools/bpftrace on a live process, as a user does, and parses its output.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace glassbox::bench::testing {

// Starts the script on `pid`, whose program is `program`. Calls `work` once every probe that the script names
// is attached, ends the script as Ctrl-C does, and returns its output. A probe counts as attached when its
// breakpoint is in memory; breakpoints do not tell which script set them, so run one script at a time.
[[nodiscard]] std::string run_script(const std::filesystem::path& script, pid_t pid,
                                     const std::string& program, const std::function<void()>& work);

// Number of values in the histograms whose name begins with `name`.
[[nodiscard]] int histogram_total(const std::string& output, const std::string& name);

// Map entries that are printed more than once, because their keys differ in bytes that do not print.
[[nodiscard]] std::vector<std::string> repeated_entries(const std::string& output);

// The value of a map entry that is a number; 0 if there is no such entry.
[[nodiscard]] int counter(const std::string& output, const std::string& name);

}  // namespace glassbox::bench::testing
