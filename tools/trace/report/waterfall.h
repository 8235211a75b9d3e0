// One cycle alone, boundary by boundary: `glassbox-trace report F --cycle N`.
#pragma once

#include <string>

#include "tools/trace/path/attribute.h"

namespace glassbox::trace {

// A line for each step: when it begins, how long it takes, a bar, its segment, its two boundaries. Then the
// boundaries that were not seen. `number` is printed, counted from 1.
[[nodiscard]] std::string format_waterfall(const CycleResult& cycle, std::size_t number);

}  // namespace glassbox::trace
