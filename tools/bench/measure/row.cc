#include "tools/bench/measure/row.h"

namespace glassbox::bench {

std::string with_log(const Stack* stack, const std::string& message) {
  const std::string line = stack != nullptr ? stack->log_line() : std::string();
  const bool said = line.empty() || message.find(line) != std::string::npos;
  return said ? message : message + "; its log ends: " + line;
}

}  // namespace glassbox::bench
