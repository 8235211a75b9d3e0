// VMs that run elsewhere: inside the lab, where `glassbox run` carried on because KVM is not usable here.
#pragma once

#include <string>
#include <string_view>

#include "vmm/base/result.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::cli {

// The VM of that name here. If there is none and a lab runs, this process goes on inside the lab, which then
// says whether there is one.
[[nodiscard]] Result<RunningVm> find_vm_or_carry_on(std::string_view name, int argc, char** argv);

// What `glassbox ls --json` prints inside the lab; empty if no lab runs.
[[nodiscard]] std::string list_in_lab();

}  // namespace glassbox::cli
