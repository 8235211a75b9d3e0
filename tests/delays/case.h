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

// Where the client is: in a namespace, or in a guest.
struct Site {
  // For the client's process, as the caller started it: argv up to delay-crr's options, its host and port
  // included.
  std::function<std::vector<std::string>(std::uint16_t port)> client;
  // What to record; given the pid of the client's process.
  std::function<std::vector<std::string>(pid_t client)> record;
};

// Who knows how long the delay was.
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
  // Around each cycle, on the host; the first says whether it is delayed.
  std::function<Status(bool)> before = {}, during = {};  // during: the client was let go and has not ended
  std::function<std::int64_t()> measure = {};            // after the cycle
};

// The median of undelayed cycles, untraced, as the client times them: what a delay has to stand out from.
[[nodiscard]] Result<std::chrono::nanoseconds> typical_cycle(const Site& site);

// Up to three attempts, each with twice the pairs of the one before, as long as the figures do not decide.
// Prints what it finds.
[[nodiscard]] bool holds(const Case& one, const Site& site);

}  // namespace glassbox::delays
