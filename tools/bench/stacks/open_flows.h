// Connections that are opened and then left alone, for the workloads idle-flows and half-closed: both ends,
// each a process of its own.
#pragma once

#include <cstdint>
#include <string>

namespace glassbox::bench {

// The server (`glassbox-bench serve-open-flows FD`): keeps each connection until the client closes it. Half
// closes or is half closed where the client's first byte says so.
[[noreturn]] void serve_open_flows(int listener);

// The client (`glassbox-bench open-flows HOST PORT COUNT`); its exit status. Opens COUNT connections to an
// IPv4 address, prints a line once they stand, and keeps them until it is ended. COUNT 0: two half-closed
// ones, one whose client has ended its direction and one whose server has.
[[nodiscard]] int keep_flows_open(const std::string& host, std::uint16_t port, std::uint32_t count);

}  // namespace glassbox::bench
