// How many events a second `record` takes down without losing any: a process fires real probes at a given
// rate while it is recorded to a file, which is then read again and looked through for gaps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

struct EventRate {
  double asked = 0, fired = 0;  // a second
  double seconds = 0;
  std::uint64_t probes = 0;    // fired while it was recorded
  std::uint64_t recorded = 0;  // of them, in the file
  std::uint64_t lost = 0;      // as the trace says: counters, gaps, impossible records
  std::string losses;          // by counter and event
};

// The file lies in `directory` and is removed. Needs what tracing needs, and 128 bytes an event of disk and
// memory.
[[nodiscard]] Result<EventRate> measure_event_rate(double per_second, double seconds,
                                                   const std::filesystem::path& directory);

[[nodiscard]] std::string event_rate_line(const EventRate& rate);
[[nodiscard]] nlohmann::json event_rate_json(const EventRate& rate);

}  // namespace glassbox::bench
