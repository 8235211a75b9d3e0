// A VM that is not found on this machine may run in the lab (tools/in-lab); the command then continues there.
#pragma once

#include <filesystem>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox::trace {

// True if this process is outside the lab and the lab of this checkout is running. Runs `tools/in-lab
// --status` and waits for it.
[[nodiscard]] bool lab_runs();

// Replaces this process by the same command inside the lab, and returns an error only if that fails. `output`
// must lie in the checkout: other files that are written in the lab disappear with it. An empty `output`
// means that the command writes no file. `reason` says why this machine cannot do it, for the message.
[[nodiscard]] Error record_in_lab(int argc, char** argv, const std::filesystem::path& output,
                                  std::string_view reason);

}  // namespace glassbox::trace
