// VMs inside the lab, where `glassbox run` carried on because KVM is not usable here.
#pragma once

#include <string>
#include <string_view>

#include "vmm/base/result.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::cli {

// Finds the VM with that name on this machine. If there is none and a lab runs, this process carries on
// inside the lab and looks there.
[[nodiscard]] Result<RunningVm> find_vm_or_carry_on(std::string_view name, int argc, char** argv);

// The output of `glassbox ls --json` inside the lab; empty if no lab runs.
[[nodiscard]] std::string list_in_lab();

}  // namespace glassbox::cli
