// One client run: its command line, and the figures in what it prints.
//
// The client times itself by its own clock and prints nothing before the last cycle is over. Every reply is
// checked: a run in which one cycle did not get its bytes back has no figures. The client is gb-crr; for
// crr-fork it is a busybox shell loop (fork_loop.h).
//
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/stacks/stack.h"
#include "tools/bench/workload.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

// Where a client connects to, as it sees the server.
struct ServerAddress {
  std::string host;
  std::uint16_t port = 0;
};

[[nodiscard]] std::vector<std::string> client_command(const Workload& workload, const Spec& spec,
                                                      const ClientPrograms& programs,
                                                      const ServerAddress& server, std::uint32_t cycles);

// Nanoseconds of each cycle, in order, as the client timed them; fails if a cycle failed or is missing. Of
// connect-rate one value: the time of the whole run divided by its connections.
[[nodiscard]] Result<std::vector<std::uint64_t>> parse_client(const Workload& workload, const Spec& spec,
                                                              std::string_view output, std::uint32_t cycles);

// Fails if the client's claims cannot be true: the server served fewer cycles than the client claims, or the
// cycles took longer than the client lived by the launcher's clock. served: empty if the server does not
// count.
[[nodiscard]] Status check_claims(const Workload& workload, const Spec& spec,
                                  const std::vector<std::uint64_t>& times, std::uint32_t cycles,
                                  std::optional<std::uint64_t> served, std::uint64_t lifetime_ns);

}  // namespace glassbox::bench
