// `glassbox-trace doctor`: which parts of the attribution work on this machine.
//
// It finds out by trying: it attaches each kind of hook to this process, makes it fire, and checks that its
// event arrives in a ring buffer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glassbox::trace {

struct Finding {
  std::string what;  // the hook or facility
  bool works = false;
  bool needed = false;  // without it nothing can be traced
  std::string detail;   // what was observed, or why it does not work
  std::string gives;    // the part of the attribution that needs it
  std::string advice;   // the remedy; empty where it works
};

// Tries everything, in a fixed order. Takes about a second; forks; needs root for most findings to be good.
[[nodiscard]] std::vector<Finding> examine_machine();

// True if everything that is needed works.
[[nodiscard]] bool fit_to_trace(const std::vector<Finding>& findings);
[[nodiscard]] std::string findings_text(const std::vector<Finding>& findings);
[[nodiscard]] nlohmann::json findings_json(const std::vector<Finding>& findings);

}  // namespace glassbox::trace
