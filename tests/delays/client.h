// delay-crr on the far side of a NAT: runs one cycle each time go() is called. Owns the process.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::delays {

class StepClient {
 public:
  // `argv` starts delay-crr; options for single cycles and for their number are appended.
  [[nodiscard]] static Result<StepClient> start(std::vector<std::string> argv, std::size_t most_cycles);
  StepClient(StepClient&& other) noexcept;
  StepClient& operator=(StepClient&&) = delete;
  ~StepClient();

  // Starts one cycle.
  [[nodiscard]] Status go();
  // Waits until that cycle is over; at most a minute.
  [[nodiscard]] Status wait_for_end();
  // Ends the client and returns the object that it prints.
  [[nodiscard]] Result<nlohmann::json> finish();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  StepClient() = default;
  pid_t pid_ = -1;
  UniqueFd in_, out_;
};

}  // namespace glassbox::delays
