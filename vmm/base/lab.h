// Carrying on inside the lab, where this machine's own KVM will not do (tools/in-lab): the same command, run
// again in there, with its files, terminal, signals and exit status passed through.
#pragma once

#include <filesystem>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox {

// True inside the lab (GLASSBOX_IN_LAB=1, set by tools/in-lab).
[[nodiscard]] bool in_lab();

// The lab's tool: tools/in-lab of the checkout this program was built in, or what GLASSBOX_IN_LAB_TOOL names.
[[nodiscard]] Result<std::filesystem::path> lab_tool();

// Whether this checkout's lab runs. Does not start it.
[[nodiscard]] bool lab_is_running();

// Prints "<program>: <reason>: carrying on inside the lab" to stderr (nothing if there is no reason to give)
// and replaces this process by `tools/in-lab <this program> <arguments>`. Returns only if that fails: already
// inside the lab, or no tools/in-lab beside the build directory of this program (GLASSBOX_IN_LAB_TOOL names
// another).
[[nodiscard]] Error carry_on_in_lab(int argc, char** argv, std::string_view reason);

}  // namespace glassbox
