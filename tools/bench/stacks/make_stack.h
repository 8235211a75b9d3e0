// Makes the stack of a name in the list (stack_list.h).
#pragma once

#include <memory>
#include <string>

#include "tools/bench/spec.h"
#include "tools/bench/stacks/qemu_stack.h"
#include "tools/bench/stacks/stack.h"
#include "tools/bench/stacks/stack_list.h"

namespace glassbox::bench {

// Not started. qemu_machine, ready_port: for the QEMU stacks only.
[[nodiscard]] Result<std::unique_ptr<Stack>> make_stack(const StackEntry& entry, const Spec& spec,
                                                        const std::string& qemu_machine,
                                                        GuestReadyPort* ready_port);

// An error, "not installed: apt-get install passt", if a program of the stack is missing.
[[nodiscard]] Status check_installed(const StackEntry& entry);

}  // namespace glassbox::bench
