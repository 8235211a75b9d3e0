// The servers of compare: gb-echo, once for each service, blocked in accept(); and the one that keeps flows
// open (open_flows.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tools/bench/spec.h"
#include "tools/bench/stacks/echo.h"
#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

class Servers {
 public:
  // On this host, at one of its IPv4 addresses.
  [[nodiscard]] static Result<Servers> start(std::uint32_t address, const Spec& spec);
  // In the guest in which the stack's client runs.
  [[nodiscard]] static Result<Servers> start_in(Stack& stack, const Spec& spec, Watch& watch);
  [[nodiscard]] std::uint16_t port(Service service) const {
    return ports_.at(static_cast<std::size_t>(service));
  }
  [[nodiscard]] std::uint16_t open_flows_port() const { return open_flows_port_; }
  // Requests, connections or streams served so far; empty if the server runs in a guest.
  [[nodiscard]] std::optional<std::uint64_t> served(Service service) const;
  // The process of a service; -1 in a guest.
  [[nodiscard]] pid_t pid(Service service) const;
  [[nodiscard]] const std::vector<std::unique_ptr<Child>>& processes() const { return children_; }
  [[nodiscard]] bool alive() const;

 private:
  std::array<std::uint16_t, 4> ports_{};
  std::uint16_t open_flows_port_ = 0;
  std::array<UniqueFd, 4> counters_;  // shared with the servers on this host (gb-echo --counter-fd)
  std::vector<std::unique_ptr<Child>> children_;
};

}  // namespace glassbox::bench
