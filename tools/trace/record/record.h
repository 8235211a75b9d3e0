// `glassbox-trace record`: both sides of one VM (or the host side of one process) into a trace file.
//
// Theory of operation. The recorder joins two streams of events into one file: the host's, from a BPF ring
// buffer (bpf/host_tracer.h), and the guest's, from the agent over vsock (agent_stream.h). It does not
// interpret events.
//
// One thread runs one poll loop. It waits for the agent's stream, for signals, and for the end of the traced
// process; every 20 ms it empties the host's ring buffer, which never wakes the loop by itself. Events are
// written in the order in which they arrive. Once a second the loss counters and the buffered events go to
// the file, so that a file of a killed recorder is whole up to there.
//
// The order of a recording: connect to the agent; attach on the host; start the agent; signal readiness;
// record; stop the agent and take its last events; detach. The host stays attached until the agent has
// finished, because the closing clock exchanges need both sides.
//
// A guest that does not answer, breaks the protocol or is late is given up with a note in the file: the
// recording continues with the host side. A file that cannot be written ends it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tools/trace/record/target.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

struct RecordOptions {
  RecordTarget target;
  std::filesystem::path output;
  std::optional<double> duration_s;                // empty: until a signal or the end of the process
  std::size_t ring_bytes = std::size_t{16} << 20;  // size of the host's ring buffer, a power of two
  int ready_fd = -1;                               // receives one byte when both sides are attached; -1: none
  nlohmann::json meta = nlohmann::json::object();  // stored with the trace
};

struct RecordSummary {
  std::uint64_t host_events = 0, guest_events = 0;
  std::uint64_t host_drops = 0, guest_drops = 0;
  std::string losses;         // by counter and event, one line; empty if nothing was lost
  bool guest_traced = false;  // to the end
  std::string note;           // why the guest was not traced, or why the recording ended early
  int signal_number = 0;      // the signal that ended it, or 0
};

// Blocks until SIGINT, SIGTERM or SIGHUP (stop_signals.h), the duration, or the end of the process. An error
// if the host side could not be attached or the file could not be written.
[[nodiscard]] Result<RecordSummary> record(const RecordOptions& options);

}  // namespace glassbox::trace
