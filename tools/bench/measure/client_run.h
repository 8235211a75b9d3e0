// One client on a stack, from its start to its figures: watched over, and believed only as far as the server
// and the clocks bear it out.
//
// While it runs, the processes of the stack must live: where one of them ends, so does the run, with that
// process's last words. The server's counter says whether the client moves; where that stands still for
// --stall seconds the run is given up, with what the client's connection waits for (stall.h).
#pragma once

#include <cstdint>
#include <vector>

#include "tools/bench/measure/contender.h"

namespace glassbox::bench {

// Nanoseconds a cycle. The error's code is ETIMEDOUT where the client stopped moving: a server may then still
// be held by its connection.
[[nodiscard]] Result<std::vector<std::uint64_t>> run_client(Contender& row, const Workload& workload,
                                                            const CompareSpec& spec, std::uint32_t cycles,
                                                            Watch& watch);

// An error with its last words where a process of the stack has ended.
[[nodiscard]] Status check_alive(Stack& stack);

}  // namespace glassbox::bench
