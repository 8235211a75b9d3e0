// Carries on inside the lab (tools/in-lab) if KVM is not usable here: the same command is run again in the
// lab, with its files, terminal, signals and exit status passed through.
#pragma once

#include <filesystem>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox {

// True inside the lab (GLASSBOX_IN_LAB=1, set by tools/in-lab).
[[nodiscard]] bool in_lab();

// The path of tools/in-lab: of the checkout that this program was built in, or as GLASSBOX_IN_LAB_TOOL says.
[[nodiscard]] Result<std::filesystem::path> lab_tool();

// Whether the lab of this checkout runs. Does not start it.
[[nodiscard]] bool lab_is_running();

// Prints "<program>: <reason>: carrying on inside the lab" to stderr (nothing if reason is empty) and
// replaces this process by `tools/in-lab <this program> <arguments>`. Returns only on failure: this is the
// lab already, or there is no tools/in-lab next to the build directory of this program (GLASSBOX_IN_LAB_TOOL
// names another).
[[nodiscard]] Error carry_on_in_lab(int argc, char** argv, std::string_view reason);

}  // namespace glassbox
