// One case of the tests of known delays, from its first cycle to the judgement.
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
  // argv of the client's process up to delay-crr's options, its host and port included.
  std::function<std::vector<std::string>(std::uint16_t port)> client;
  // Arguments that tell the recorder its target, given the pid of the client's process.
  std::function<std::vector<std::string>(pid_t client)> record;
};

// Which side measures how long the delay was.
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
  // Called around each cycle, on the host; the argument says whether the cycle is delayed.
  std::function<Status(bool)> before = {}, during = {};  // during: the cycle has begun and not ended
  std::function<std::int64_t()> measure = {};            // after the cycle
};

// The median of undelayed, untraced cycles by the client's clock. A delay must be well above it.
[[nodiscard]] Result<std::chrono::nanoseconds> typical_cycle(const Site& site);

// Makes up to three attempts, each with twice the pairs of the one before, until the figures decide. Prints
// them.
[[nodiscard]] bool holds(const Case& one, const Site& site);

}  // namespace glassbox::delays
