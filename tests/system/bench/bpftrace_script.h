// Runs a script of tools/bpftrace on a live process, as a user does, and reads what it printed.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace glassbox::bench::testing {

// Starts the script on `pid`, whose program is `program`, does the work once every probe that it names is
// attached, ends it as Ctrl-C would, and returns what it said. Probes are told by their breakpoints, which do
// not say whose they are: one script at a time.
[[nodiscard]] std::string run_script(const std::filesystem::path& script, pid_t pid,
                                     const std::string& program, const std::function<void()>& work);

// Values in the histograms whose name begins with `name`.
[[nodiscard]] int histogram_total(const std::string& output, const std::string& name);

// Map entries that are printed more than once: their keys differ in bytes that nobody sees.
[[nodiscard]] std::vector<std::string> repeated_entries(const std::string& output);

// Of a map entry that is a number; 0 if it is not there.
[[nodiscard]] int counter(const std::string& output, const std::string& name);

}  // namespace glassbox::bench::testing
