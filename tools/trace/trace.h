// A trace in memory: what a file holds, after the records were checked for shape.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bpf/events.h"

namespace glassbox::trace {

// Counters of one side, as its collector reported them.
using DropCounters = std::map<std::string, std::uint64_t>;

struct Side {
  std::vector<gb_event> events;  // sorted by time
  std::vector<std::string> hooks;
  DropCounters drops;
  std::uint64_t impossible_records = 0;  // wrong version, kind, CPU, time or a sequence number used twice
  std::uint64_t sequence_gaps = 0;       // sequence numbers that never arrived
  [[nodiscard]] std::uint64_t lost() const;
};

struct Trace {
  nlohmann::json info = nlohmann::json::object();
  nlohmann::json meta = nlohmann::json::object();
  Side host, guest;
  std::vector<std::string> notes;
  bool truncated = false;
  bool other_interface = false;  // recorded with another probes.def or events.def than ours
};

}  // namespace glassbox::trace
