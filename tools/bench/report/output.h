// Where a run's figures go: the table or the client's times to standard output, JSON and trace to files.
#pragma once

#include <string>

#include "tools/bench/measure/crr.h"
#include "tools/bench/process/watch.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct OutputFile {
  std::string option;  // "--json"; the option takes its last value when given twice
  std::string path;
};

// Fails where the second would be written over the first.
[[nodiscard]] Status check_apart(const OutputFile& one, const OutputFile& other);
// Fails at once where a file that the run is to write cannot be, or has no room: better than after minutes of
// measuring.
[[nodiscard]] Status check_writable(const std::string& path);

// The untraced report.
[[nodiscard]] Status print_client_report(const CrrResult& result);
// The traced one: glassbox-trace's report of the file.
[[nodiscard]] Status print_trace_report(const CrrResult& result, const std::string& trace_path, Watch& watch);

// `glassbox-trace report` of a trace file; format: "table" or "json".
[[nodiscard]] Result<std::string> trace_report(const std::string& trace_path, const std::string& format,
                                               Watch& watch);

// To standard output, all of it; a reader that has gone is an error, not a signal (main() ignores SIGPIPE).
[[nodiscard]] Status print_report(const std::string& text);
// Written beside its place and renamed, so that nobody reads half of it; a device or a pipe is written to.
[[nodiscard]] Status write_file(const std::string& path, const std::string& text);
// Copies `from` to `to`, complete or not at all.
[[nodiscard]] Status keep_file(const std::string& from, const std::string& to);

}  // namespace glassbox::bench
