// `glassbox-trace record` as a part of a run.
#pragma once

#include <memory>
#include <string>

#include "tools/bench/process/child.h"
#include "tools/bench/process/watch.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

class Recorder {
 public:
  // Returns when the probes of both sides are attached.
  [[nodiscard]] static Result<std::unique_ptr<Recorder>> start(const std::string& vm, const std::string& path,
                                                               Watch& watch);
  // Has it detach, fetch what the guest still holds, and complete the file.
  [[nodiscard]] Status finish(Watch& watch);
  [[nodiscard]] Child& child() { return *child_; }

 private:
  explicit Recorder(std::unique_ptr<Child> child) : child_(std::move(child)) {}
  std::unique_ptr<Child> child_;
};

}  // namespace glassbox::bench
