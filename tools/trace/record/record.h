// `glassbox-trace record`: both sides of one VM (or the host side of one process) into a trace file.
//
// Theory of operation. One thread and one poll loop: the guest agent's stream, the signals that end the
// recording, the end of the traced process; and every 20 ms the host's ring buffer, which wakes nobody. The
// host stays attached until the agent has said its last word, because the closing clock exchanges need both
// sides. Events go to the file as they come.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {

struct RecordTarget {
  pid_t pid = 0;
  std::filesystem::path vsock_path;  // empty: a process without a guest
  std::string description;           // "VM demo (pid 123)"
};

// By name, by pid, or, with neither, the only VM there is.
[[nodiscard]] Result<RecordTarget> find_target(const std::optional<std::string>& name,
                                               std::optional<pid_t> pid);

// Only one process records a VM, since its agent serves one. The claim lasts as long as the descriptor and
// the process; another's fails and names it.
[[nodiscard]] Result<UniqueFd> claim_recording(const RecordTarget& target);

struct RecordOptions {
  RecordTarget target;
  std::filesystem::path output;
  std::optional<double> duration_s;
  std::size_t ring_bytes = std::size_t{16} << 20;  // of the host's ring buffer; a power of two
  int ready_fd = -1;                               // gets one byte when both sides are attached
  nlohmann::json meta = nlohmann::json::object();
};

struct RecordSummary {
  std::uint64_t host_events = 0, guest_events = 0;
  std::uint64_t host_drops = 0, guest_drops = 0;
  std::string losses;  // by counter and event, one line; empty if nothing was lost
  bool guest_traced = false;
  std::string note;       // why not, or why it ended early
  int signal_number = 0;  // that ended it, if one did
};

// Blocks until SIGINT, SIGTERM or SIGHUP (stop_signals.h), the duration, or the end of the process.
[[nodiscard]] Result<RecordSummary> record(const RecordOptions& options);

}  // namespace glassbox::trace
