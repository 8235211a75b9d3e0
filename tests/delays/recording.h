// `glassbox-trace record` during a run.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/trace/file/trace.h"
#include "vmm/base/result.h"

namespace glassbox::delays {

class Recording {
 public:
  // `target` is {"--pid", PID} or {"--name", NAME}. Returns once all hooks are attached.
  [[nodiscard]] static Result<Recording> start(const std::vector<std::string>& target,
                                               const std::filesystem::path& file);
  [[nodiscard]] Result<trace::Trace> finish();

 private:
  std::unique_ptr<bench::Child> child_;
  std::filesystem::path file_;
};

}  // namespace glassbox::delays
