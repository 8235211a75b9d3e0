// `glassbox-trace live`: figures of a running process, refreshed until a signal, the duration or its end.
//
// One thread: the host's ring buffer every 20 ms, a look at the window every second. On a terminal each look
// replaces the page before; elsewhere it is a line.
#pragma once

#include <optional>

#include "tools/trace/record/record.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

struct LiveOptions {
  RecordTarget target;
  bool json = false;  // one object a line
  std::optional<double> duration_s;
  double interval_s = 1;
};

[[nodiscard]] Status live(const LiveOptions& options);

}  // namespace glassbox::trace
