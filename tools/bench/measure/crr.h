// One connect-request-response run, from nothing to figures.
//
// Theory of operation. The launcher starts the server (a child) and the stack (for glassbox: a VM), and runs
// the client on the stack: first a few warm-up cycles whose times are thrown away, then the cycles that
// count. With a trace, the collector is attached between the two, and detached before the VM stops. Half of
// the untraced cycles run before it is attached and half after it is detached: slow changes of the machine
// cancel out, and the difference is the cost of tracing. The client times itself and prints when it is done;
// while it runs, the launcher only reads a counter in memory that it shares with the server. If something
// fails or is interrupted, objects are destroyed in the reverse order of their start, and each ends its
// process.
#pragma once

#include <cstdint>
#include <memory>
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
  Spec spec;
  std::uint16_t port = 0;
  std::string measured_at;                      // UTC, when the cycles that count began
  nlohmann::json machine;                       // of an untraced run; a trace has its own
  std::vector<std::uint64_t> cycle_ns;          // as the client timed them, in order
  std::vector<std::uint64_t> untraced_ns = {};  // likewise, of the blocks around a trace
};

// The stack that `crr` asks for, not started.
[[nodiscard]] std::unique_ptr<Stack> make_crr_stack(const Spec& spec);

// One workload on a stack and against a server that run already.
[[nodiscard]] Result<CrrResult> run_workload(const Spec& spec, const std::string& trace_path, Stack& stack,
                                             Server& server, Watch& watch, Progress& progress);

// With spec.trace, the trace is at `trace_path` afterwards, with the run's description and the client's times
// in it.
[[nodiscard]] Result<CrrResult> run_crr(const Spec& spec, const std::string& trace_path, Watch& watch);

}  // namespace glassbox::bench
