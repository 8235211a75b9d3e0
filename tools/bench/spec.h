// What a run is to do, as the user asked for it: parsed and checked, nothing started yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox::bench {

enum class WorkloadKind {
  kFork,    // a fresh busybox nc per cycle, from one shell loop
  kSingle,  // one static client does all cycles
};

enum class ServerKind {
  kBlocking,  // our echo server, blocked in accept()
  kPoll,      // our echo server, accept() tried again after a sleep
  kExternal,  // whatever listens on a port of this host already
};

enum class StackKind {
  kGlassbox,  // the client in a guest, behind the monitor's NAT
  kLoopback,  // the same client natively, through nothing: the harness's own floor
};

struct ServerSpec {
  ServerKind kind = ServerKind::kBlocking;
  std::uint32_t poll_ms = 0;        // kPoll
  std::uint16_t external_port = 0;  // kExternal
  bool ipv6 = false;                // listens on ::1, and the client comes over IPv6
};

struct CrrSpec {
  WorkloadKind workload = WorkloadKind::kFork;
  StackKind stack = StackKind::kGlassbox;
  ServerSpec server = {};
  std::uint16_t port = 0;  // for our own server; 0 takes a free one
  std::uint32_t cycles = 200;
  std::uint32_t warm_up = 10;
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
  bool trace = false;
  // With a trace: cycles without one, half before it and half after it, to tell what tracing costs. 0: none.
  std::uint32_t untraced = 0;
  std::string json_path = {};   // empty: none; "-": standard output instead of the table
  std::string keep_trace = {};  // empty: the trace file goes away with the run
};

// What one client's output and one trace are made for. (Ports do not run out before: TIME_WAIT stays with the
// server, which closes first, or is taken over after a second, net.ipv4.tcp_tw_reuse.)
inline constexpr std::uint32_t kMaxCycles = 100'000;

[[nodiscard]] Result<ServerSpec> parse_server(
    std::string_view text);  // blocking | poll:MS | external:[ADDRESS:]PORT
[[nodiscard]] Result<WorkloadKind> parse_workload(std::string_view text);
[[nodiscard]] Result<StackKind> parse_stack(std::string_view text);
// What single values cannot say: combinations and bounds.
[[nodiscard]] Status check(const CrrSpec& spec);

[[nodiscard]] std::string_view name(WorkloadKind kind);  // as the option takes it
[[nodiscard]] std::string_view name(StackKind kind);
[[nodiscard]] std::string name(const ServerSpec& server);
[[nodiscard]] std::string describe(const ServerSpec& server);  // for the report's first line

}  // namespace glassbox::bench
