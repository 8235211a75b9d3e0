// The figures of a running VM as text.
#pragma once

#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox::cli {

// `answer` is what a VM's stats socket gave, perhaps another user's. As JSON: one object on one line, ASCII;
// else a line a figure, "network: frames dropped: REASON  COUNT". Fails if it is no JSON object.
[[nodiscard]] Result<std::string> format_stats(std::string_view answer, bool as_json);

}  // namespace glassbox::cli
