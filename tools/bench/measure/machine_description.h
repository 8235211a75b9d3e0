// The machine that a result was measured on.
#pragma once

#include <nlohmann/json.hpp>

namespace glassbox::bench {

// Kernel, processor, number of processors, load averages and date, all as of now.
[[nodiscard]] nlohmann::json describe_machine();

}  // namespace glassbox::bench
