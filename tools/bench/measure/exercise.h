// One client run: its command line, and the figures in what it prints.
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/compare_spec.h"
#include "tools/bench/stacks/echo.h"
#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

[[nodiscard]] Service service_of(Load load);

// Cycles of a stack in a round; of a stream one, of connect-rate all flows together.
[[nodiscard]] std::uint32_t cycles_of(const Workload& workload, const CompareSpec& spec);
// Cycles of the client before it.
[[nodiscard]] std::uint32_t warm_up_of(const Workload& workload, const CompareSpec& spec);

[[nodiscard]] std::vector<std::string> exercise_command(const Workload& workload, const CompareSpec& spec,
                                                        const Stack& stack, const std::string& host,
                                                        std::uint16_t port, std::uint32_t cycles);

// Nanoseconds a cycle as the client timed them. Of connect-rate one value: the run's time over its
// connections.
[[nodiscard]] Result<std::vector<std::uint64_t>> parse_exercise(const Workload& workload,
                                                                const CompareSpec& spec,
                                                                std::string_view output,
                                                                std::uint32_t cycles);

// Whether what the client says can be: the server has served as much as the client claims, and the cycles did
// not take longer than the client's whole life by the launcher's clock. served: nothing where the server does
// not tell.
[[nodiscard]] Status check_claims(const Workload& workload, const CompareSpec& spec,
                                  const std::vector<std::uint64_t>& times, std::uint32_t cycles,
                                  std::optional<std::uint64_t> served, std::uint64_t lifetime_ns);

}  // namespace glassbox::bench
