// Why a client stands still: the TCP state of its connection, in its own kernel, tells which packet is
// missing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// Of the connections to `port` in a /proc/net/tcp text: "FIN-WAIT-2: its FIN was acknowledged, the other
// end's never came". Empty if there is none. Pure.
[[nodiscard]] std::string waits_for(std::string_view proc_net_tcp, std::uint16_t port);

// Asks the kernel of the client, while the client still runs. Empty if it does not answer.
[[nodiscard]] std::string connection_state(Stack& stack, std::uint16_t port, Watch& watch);

}  // namespace glassbox::bench
