// One case of the bench of known delays, from its first cycle to the judgement.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/delays/judge.h"
#include "tests/delays/server.h"
#include "vmm/base/result.h"

namespace glassbox::delays {

// Where the client runs: in a namespace, or in a guest.
struct Site {
  // argv that starts the client, up to and including the address and port of delay-crr.
  std::function<std::vector<std::string>(std::uint16_t port)> client;
  // Arguments for `glassbox-trace record` that name the target; `client` is the pid of the client's process.
  std::function<std::vector<std::string>(pid_t client)> record;
};

// Which part measured the delay of each cycle.
enum class MeasuredBy : std::uint8_t {
  kServer,       // DelayServer::delays()
  kClient,       // delay-crr's delay_ns
  kConnect,      // the time of the client's connect()
  kRestOfReply,  // from the client's first to its last byte
  kInjector,     // Case::measure
};

struct Case {
  std::string name;
  Expectation expect;
  std::vector<std::string> client_options = {};
  ServerPlan server = {};
  MeasuredBy measured_by = MeasuredBy::kClient;
  std::size_t pairs = 100;
  // Called on the host with whether the cycle is delayed: `before` ahead of each cycle, `during` while it
  // runs.
  std::function<Status(bool)> before = {}, during = {};
  // With MeasuredBy::kInjector: the delay in ns, called after each cycle.
  std::function<std::int64_t()> measure = {};
};

// The median time of undelayed, untraced cycles, by the client's clock. A delay must be large next to it.
[[nodiscard]] Result<std::chrono::nanoseconds> typical_cycle(const Site& site);

// Runs and judges one case. Makes up to three attempts, each with twice the pairs of the one before, until
// the figures decide. Prints its findings; adds a gtest failure if the case could not be run.
[[nodiscard]] bool holds(const Case& one, const Site& site);

}  // namespace glassbox::delays
