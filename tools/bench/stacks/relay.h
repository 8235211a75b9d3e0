// The least that can stand between a client and a server: a process that receives into one buffer and sends
// on from it, both ways, one connection after the other. It bounds what any NAT that copies can do with a
// stream; it carries no frames.
#pragma once

#include <cstdint>
#include <memory>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// The relay's whole life (`glassbox-bench relay FD PORT`): from the inherited listener to `port` of
// 127.0.0.1.
[[noreturn]] void serve_relay(int listener, std::uint16_t port);

[[nodiscard]] std::unique_ptr<Stack> make_relay_stack();

}  // namespace glassbox::bench
