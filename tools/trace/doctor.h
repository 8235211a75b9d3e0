// `glassbox-trace doctor`: what of the attribution this machine can do, found out by doing it.
#pragma once

#include <string>
#include <vector>

namespace glassbox::trace {

struct Finding {
  std::string what;
  bool works = false;
  std::string detail;  // measured, or why not and what to do
  std::string gives;   // the part of the attribution that hangs on it
};

[[nodiscard]] std::vector<Finding> examine_machine();

}  // namespace glassbox::trace
