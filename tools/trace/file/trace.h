// A trace in memory: what a trace file holds. The reader has checked its records for shape (records.h); what
// they claim is still untrusted, and text in them may hold any bytes.
//
// A plain value: no thread owns it, and analyses only read it.
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

// Counters of lost events, by name, as the recorder of one side reported them.
using DropCounters = std::map<std::string, std::uint64_t>;

// True for "ring_full:rx_inject": the part of the counter "ring_full" that belongs to one event or hook. It
// is contained in "ring_full" and must not be added to it.
[[nodiscard]] inline bool is_share(std::string_view counter) {
  return counter.find(':') != std::string_view::npos;
}

struct Side {
  std::vector<gb_event> events;  // sorted by time
  std::vector<bpf::Hook> hooks;  // what was attached or is missing
  DropCounters drops;
  std::uint64_t impossible_records = 0;  // wrong version, kind, CPU, time or a sequence number used twice
  DropCounters impossible_by_event;      // the same by event name; "?" for an unknown kind
  std::uint64_t sequence_gaps = 0;       // sequence numbers that never arrived
  // How many events are missing: never less than any counter says, and nothing is counted twice.
  [[nodiscard]] std::uint64_t lost() const;
};

struct Trace {
  nlohmann::json info = nlohmann::json::object();  // chunk kInfo
  nlohmann::json meta = nlohmann::json::object();  // chunks kMeta, merged
  Side host, guest;
  std::vector<std::string> notes;
  std::uint32_t format = 0;      // version of the file
  bool truncated = false;        // the recording did not end in good order: the last events are missing
  bool other_interface = false;  // recorded by a build with another probes.def or events.def
};

// The trace without its guest's side.
[[nodiscard]] inline Trace host_side(Trace trace) {
  trace.guest = {};
  return trace;
}

}  // namespace glassbox::trace
