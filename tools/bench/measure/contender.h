// One row of the comparison while it runs: a stack with its servers, its identity and what was measured on
// it.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/compare_spec.h"
#include "tools/bench/measure/counts.h"
#include "tools/bench/measure/identity.h"
#include "tools/bench/measure/kernel_counter.h"
#include "tools/bench/measure/verdict.h"
#include "tools/bench/stacks/echo.h"
#include "tools/bench/stacks/qemu_stack.h"

namespace glassbox::bench {

// gb-echo, once per service, blocked in accept().
class Servers {
 public:
  // On this host, at an address of it.
  [[nodiscard]] static Result<Servers> start(std::uint32_t address, const CompareSpec& spec);
  // Where the stack's client runs.
  [[nodiscard]] static Result<Servers> start_in(Stack& stack, const CompareSpec& spec, Watch& watch);
  [[nodiscard]] std::uint16_t port(Service service) const {
    return ports_.at(static_cast<std::size_t>(service));
  }
  // Requests, connections or streams served so far; nothing where the server runs in a guest.
  [[nodiscard]] std::optional<std::uint64_t> served(Service service) const;
  [[nodiscard]] const std::vector<std::unique_ptr<Child>>& processes() const { return children_; }
  [[nodiscard]] bool alive() const;

 private:
  std::array<std::uint16_t, 4> ports_{};
  std::array<UniqueFd, 4> counters_;  // shared with the servers on this host (gb-echo --counter-fd)
  std::vector<std::unique_ptr<Child>> children_;
};

// What a stack showed under one workload.
struct Cell {
  Rounds rounds;                       // nanoseconds a cycle, stream or connection
  ProcessCounts process;               // sums over the rounds
  double process_cycles = 0;           // that they are for
  std::optional<KernelCounts> kernel;  // a cycle
  std::string failed;                  // why it is not tried any more
  std::string uncounted;               // why `kernel` is missing, where the rest is there
};

// A turn failed, after which the stack was started anew.
struct Restart {
  std::string workload;
  std::string when;  // "round 3"
  std::string why;
};

struct Contender {
  std::string label;
  const StackEntry* entry = nullptr;
  std::string machine;  // of QEMU
  std::string refused;  // why there are no figures at all
  Identity identity;
  std::map<std::string, Cell> cells;  // by the workload's name
  std::vector<Restart> restarts;

  std::unique_ptr<Stack> stack;
  std::optional<Servers> own_servers;  // in the guest
  const Servers* servers = nullptr;
};

// The stack of a row, not started.
[[nodiscard]] Result<std::unique_ptr<Stack>> make_contender_stack(const StackEntry& entry,
                                                                  const CompareSpec& spec,
                                                                  const std::string& qemu_machine,
                                                                  VsockDoor* door);

// A message and the last line of the stack's log, where that says more.
[[nodiscard]] std::string with_log(const Stack* stack, const std::string& message);

// "not installed: apt-get install passt", or nothing.
[[nodiscard]] Status check_installed(const StackEntry& entry);

}  // namespace glassbox::bench
