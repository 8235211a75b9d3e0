// The client natively: in the network namespace of a user-mode NAT or of a veth pair (tools/bench/net has
// them), entered with nsenter.
#pragma once

#include <memory>
#include <string>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// `kind` is a name of net_stack_kinds().
[[nodiscard]] std::unique_ptr<Stack> make_native_stack(std::string kind);

}  // namespace glassbox::bench
