// A trace in memory: what a file holds, after the records were checked for shape.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/events.h"
#include "bpf/hook.h"

namespace glassbox::trace {

// Counters of one side, as its collector reported them.
using DropCounters = std::map<std::string, std::uint64_t>;

// "ring_full:rx_inject": what of the counter "ring_full" is of one event; not to be added to it.
[[nodiscard]] inline bool is_share(std::string_view counter) {
  return counter.find(':') != std::string_view::npos;
}

struct Side {
  std::vector<gb_event> events;  // sorted by time
  std::vector<bpf::Hook> hooks;
  DropCounters drops;
  std::uint64_t impossible_records = 0;  // wrong version, kind, CPU, time or a sequence number used twice
  DropCounters impossible_by_event;  // the same by the name of the event, "?" for a kind that does not exist
  std::uint64_t sequence_gaps = 0;   // sequence numbers that never arrived
  [[nodiscard]] std::uint64_t lost() const;
};

struct Trace {
  nlohmann::json info = nlohmann::json::object();
  nlohmann::json meta = nlohmann::json::object();
  Side host, guest;
  std::vector<std::string> notes;
  std::uint32_t format = 0;  // version of the file
  bool truncated = false;
  bool other_interface = false;  // recorded with another probes.def or events.def than ours
};

// What the host saw, and not a word of the guest.
[[nodiscard]] inline Trace host_side(Trace trace) {
  trace.guest = {};
  return trace;
}

}  // namespace glassbox::trace
