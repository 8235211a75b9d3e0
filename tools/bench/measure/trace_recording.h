// `glassbox-trace record` as a part of a run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/bench/process/watch.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

class TraceRecording {
 public:
  // subject: the options of record that name what is traced, {"--name", VM} or {"--pid", PID}. Returns when
  // all probes are attached.
  [[nodiscard]] static Result<std::unique_ptr<TraceRecording>> start(std::vector<std::string> subject,
                                                                     const std::string& path, Watch& watch);
  // Detaches the probes, fetches the guest's last events, and completes the file.
  [[nodiscard]] Status finish(Watch& watch);
  [[nodiscard]] Child& child() { return *child_; }

 private:
  explicit TraceRecording(std::unique_ptr<Child> child) : child_(std::move(child)) {}
  std::unique_ptr<Child> child_;
};

}  // namespace glassbox::bench
