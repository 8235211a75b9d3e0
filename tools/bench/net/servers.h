// The servers that the clients of all stacks reach, each a process of its own, listening on one address.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "tools/bench/net/exchange.h"
#include "tools/bench/process/child.h"

namespace glassbox::bench {

struct NetServers {
  std::uint16_t crr_port = 0;                            // gb-echo, one connection after the other
  std::uint16_t port = 0;                                // RR and streams
  std::uint16_t relay_port = 0;                          // leads to `port` through the relay
  std::uint16_t hold_port = 0;                           // keeps what it accepts
  std::array<std::uint16_t, kParallelPorts> parallel{};  // gb-echo, several of them
  std::vector<std::unique_ptr<Child>> processes;
};

[[nodiscard]] Result<NetServers> start_servers(std::uint32_t address);

// The relay: what comes on a connection is received into one buffer and sent on from it, both ways.
[[noreturn]] void serve_relay(int listener, std::uint16_t port);

// Keeps connections until the other end is gone, or for good where it said so (see exchange.h).
[[noreturn]] void serve_hold(int listener);

}  // namespace glassbox::bench
