// One connect-request-response run, from nothing to figures.
//
// Theory of operation. The launcher starts the server (a child), the stack (for glassbox: a VM), and runs the
// client on the stack: first a few warm-up cycles whose times are thrown away, then the cycles that count.
// With a trace, the collector is attached between the two, and detached before the VM stops. Half of the
// untraced cycles run before it is attached and half after it is gone: what the machine does slowly meanwhile
// cancels out, and the difference is what tracing costs. The client times
// itself and prints when it is done; while it runs, the launcher only looks at a counter in memory it shares
// with the server. Whatever fails or is interrupted, objects go in the reverse order of their start, and each
// takes its process along.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/process/progress.h"
#include "tools/bench/process/watch.h"
#include "tools/bench/spec.h"
#include "tools/bench/stacks/server.h"
#include "tools/bench/stacks/stack.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct CrrResult {
  CrrSpec spec;
  std::uint16_t port = 0;
  std::string measured_at;                      // UTC, when the cycles that count began
  nlohmann::json machine;                       // of an untraced run; a trace says it itself
  std::vector<std::uint64_t> cycle_ns;          // as the client timed them, in order
  std::vector<std::uint64_t> untraced_ns = {};  // likewise, of the blocks around a trace
};

// One workload on a stack and against a server that run already.
[[nodiscard]] Result<CrrResult> run_workload(const CrrSpec& spec, const std::string& trace_path, Stack& stack,
                                             Server& server, Watch& watch, Progress& progress);

// With spec.trace, the trace is at `trace_path` afterwards, with the run's description and the client's times
// in it.
[[nodiscard]] Result<CrrResult> run_crr(const CrrSpec& spec, const std::string& trace_path, Watch& watch);

}  // namespace glassbox::bench
