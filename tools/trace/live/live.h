// `glassbox-trace live`: figures of a running process, refreshed until a signal, the duration or its end.
//
// Host side only. One thread: it empties the host's ring buffer every 20 ms and prints a snapshot every
// second. On a terminal each snapshot replaces the page before; elsewhere it is a line.
#pragma once

#include <optional>

#include "tools/trace/record/target.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

struct LiveOptions {
  RecordTarget target;
  bool json = false;                 // print each snapshot as a JSON object on a line
  std::optional<double> duration_s;  // empty: until a signal or the end of the process
  double interval_s = 1;             // between two snapshots
};

// Blocks until SIGINT, SIGTERM, SIGHUP, the duration, the end of the process, or until stdout cannot be
// written. Needs what tracing needs.
[[nodiscard]] Status live(const LiveOptions& options);

}  // namespace glassbox::trace
