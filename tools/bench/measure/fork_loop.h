// The client of crr-fork: the loop that this project comes from, in busybox sh. It runs `printf A | nc HOST
// PORT` and reads $EPOCHREALTIME before and after. The loop adds no process of its own: times and replies go
// to two files that stay open (in the guest's memory), so that the last cycle costs as much as the first.
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

// The arguments after those that start a busybox shell. payload: bytes of a request.
[[nodiscard]] std::vector<std::string> fork_loop_arguments(const std::string& host, std::uint16_t port,
                                                           std::uint32_t cycles, std::uint32_t payload);

// The cycle times in order, in nanoseconds. Fails if a cycle failed or is missing.
[[nodiscard]] Result<std::vector<std::uint64_t>> parse_fork_loop(std::string_view output,
                                                                 std::uint32_t cycles, std::uint32_t payload);

}  // namespace glassbox::bench
