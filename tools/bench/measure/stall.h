// A client that no longer moves: what its connection waits for, by the state that its own kernel has it in.
// The packets that are missing are the stack's affair, and the state says which.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// Of the connections to `port` in a /proc/net/tcp text: "FIN-WAIT-2: its FIN was acknowledged, the other
// end's never came". Empty where none stands. Pure.
[[nodiscard]] std::string waits_for(std::string_view proc_net_tcp, std::uint16_t port);

// Asked where the stack's clients run, while the client is still there. Empty where there is no answer.
[[nodiscard]] std::string ask_what_it_waits_for(Stack& stack, std::uint16_t port, Watch& watch);

}  // namespace glassbox::bench
