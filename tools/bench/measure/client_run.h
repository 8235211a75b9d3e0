// One client on a stack, from its start to its figures.
//
// While it runs, the processes of the stack and its servers must live: if one of them ends, the run fails
// with the last words of that process. The server's counter tells whether the client moves; if the counter
// stands still for --stall seconds, the run is given up, with the state of the client's connection (stall.h).
// The client's figures are checked against the server's count and the launcher's clock (client.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tools/bench/measure/client.h"
#include "tools/bench/measure/row.h"

namespace glassbox::bench {

// Nanoseconds of each cycle. The error's code is ETIMEDOUT if the client stopped moving: its connection may
// then still hold a server.
[[nodiscard]] Result<std::vector<std::uint64_t>> run_client(Row& row, const Workload& workload,
                                                            const Spec& spec, std::uint32_t cycles,
                                                            Watch& watch);

// The same client, only started.
[[nodiscard]] Result<std::unique_ptr<Child>> start_client(Row& row, const Workload& workload,
                                                          const Spec& spec, std::uint32_t cycles);
// How a client of the row reaches a port of its servers.
[[nodiscard]] Result<ServerAddress> address_of(Row& row, std::uint16_t server_port);

// Fails, with its last words, if a process of the stack has ended.
[[nodiscard]] Status check_alive(Stack& stack);

}  // namespace glassbox::bench
