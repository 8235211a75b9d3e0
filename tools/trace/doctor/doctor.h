// `glassbox-trace doctor`: what of the attribution this machine can do, found out by doing it: every hook is
// attached to this very process, made to fire, and its event awaited in a ring buffer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glassbox::trace {

struct Finding {
  std::string what;
  bool works = false;
  bool needed = false;  // nothing can be traced without it
  std::string detail;   // what was seen, or why it does not work
  std::string gives;    // the part of the attribution that hangs on it
  std::string advice;   // what to do where it does not work
};

[[nodiscard]] std::vector<Finding> examine_machine();

[[nodiscard]] bool fit_to_trace(const std::vector<Finding>& findings);
[[nodiscard]] std::string findings_text(const std::vector<Finding>& findings);
[[nodiscard]] nlohmann::json findings_json(const std::vector<Finding>& findings);

}  // namespace glassbox::trace
