// Runs `glassbox-trace record` while a case runs. Owns the child process.
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
  // `target` is {"--pid", PID} or {"--name", NAME}. Returns once every hook is attached.
  [[nodiscard]] static Result<Recording> start(const std::vector<std::string>& target,
                                               const std::filesystem::path& file);
  // Ends the recording and reads its trace.
  [[nodiscard]] Result<trace::Trace> finish();

 private:
  std::unique_ptr<bench::Child> child_;
  std::filesystem::path file_;
};

}  // namespace glassbox::delays
