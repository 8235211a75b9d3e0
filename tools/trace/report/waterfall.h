// One cycle alone, boundary by boundary: `glassbox-trace report F --cycle N`.
#pragma once

#include <string>

#include "tools/trace/path/attribute.h"

namespace glassbox::trace {

[[nodiscard]] std::string format_waterfall(const CycleResult& cycle, std::size_t number);

}  // namespace glassbox::trace
