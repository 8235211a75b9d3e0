// The workloads: what a client does on a stack, how often, and against which service of gb-echo.
//
// To add a workload, add a kind and its name here, and its client in measure/client.cc.
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/spec.h"
#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {

enum class WorkloadKind {
  kCrr,          // connect, request, response, close; one process does all cycles
  kCrrFork,      // the same; a new busybox nc for each cycle, from one shell loop
  kRr,           // request and response on one open connection
  kStreamOut,    // client to server
  kStreamIn,     // server to client
  kConnectRate,  // crr in several flows at once
  kIdleFlows,    // crr while many other flows are open and silent
  kHalfClosed,   // crr while two other flows are half closed, one at each end
  kBoot,         // start of the monitor to agent ready; not part of the rounds
};

struct Workload {
  WorkloadKind kind = WorkloadKind::kCrr;
  std::uint32_t flows = 1;  // kConnectRate
  std::string name;         // in the table: "crr", "connect-rate 4"
};

// Names as --workloads takes them, in the order of WorkloadKind. default_ones: without those that keep many
// flows open, which take long.
[[nodiscard]] std::vector<std::string> workload_names(bool default_ones = false);
[[nodiscard]] bool wants(const Spec& spec, std::string_view workload);
// The workloads of the rounds: connect-rate once for each number of flows; without boot.
[[nodiscard]] std::vector<Workload> round_workloads(const Spec& spec);

[[nodiscard]] bool is_stream(WorkloadKind kind);
[[nodiscard]] bool keeps_flows_open(WorkloadKind kind);
[[nodiscard]] Service service_of(WorkloadKind kind);

// Cycles that count, of a stack in a round: one for a stream; of connect-rate, all flows together.
[[nodiscard]] std::uint32_t cycles_of(const Workload& workload, const Spec& spec);
// Cycles of the client that runs before, to warm up.
[[nodiscard]] std::uint32_t warm_up_of(const Workload& workload, const Spec& spec);

}  // namespace glassbox::bench
