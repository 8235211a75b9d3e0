// A VM that is not known on this machine may run in the lab (tools/in-lab): then that is where to record it.
#pragma once

#include <filesystem>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox::trace {

// This is not the lab, and the lab of this checkout runs.
[[nodiscard]] bool lab_runs();

// Replaces this process by the same command inside the lab; returns only if that fails. A trace must go to
// the checkout, all else that is written in the lab is gone with it; no output is no file.
[[nodiscard]] Error record_in_lab(int argc, char** argv, const std::filesystem::path& output,
                                  std::string_view reason);

}  // namespace glassbox::trace
