// One row of a comparison while it runs: a stack, its servers, its identity, and what was measured on it.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure/counts.h"
#include "tools/bench/measure/identity.h"
#include "tools/bench/measure/kernel_counter.h"
#include "tools/bench/measure/quiet.h"
#include "tools/bench/measure/time_split.h"
#include "tools/bench/measure/verdict.h"
#include "tools/bench/stacks/servers.h"
#include "tools/bench/stacks/stack_list.h"

namespace glassbox::bench {

// Where the time of a native stack goes under one workload, measured after the rounds if a target is missed.
struct NativeExplanation {
  std::vector<TimeShare> shares;
  std::string shares_missing;  // why there are none
  nlohmann::json trace;        // the largest segments (report/missed_targets.h)
  std::string trace_missing;
};

// What a stack showed under one workload.
struct Cell {
  Rounds rounds;                       // nanoseconds a cycle, stream or connection
  ProcessCounts process;               // sums over the rounds
  double process_cycles = 0;           // number of cycles in `process`
  std::optional<KernelCounts> kernel;  // of one cycle
  std::vector<Quiet> quiet;            // one a round, of workloads that keep flows open
  std::optional<NativeExplanation> explanation;
  std::string failed;     // why it is not tried any more
  std::string uncounted;  // why `kernel` is missing although the rest is there
};

// A turn failed, after which the stack was restarted.
struct Restart {
  std::string workload;
  std::string when;  // "round 3"
  std::string why;
};

struct Row {
  std::string label;
  const StackEntry* entry = nullptr;
  std::string machine;  // of QEMU
  std::string refused;  // why there are no figures at all
  Identity identity;
  std::map<std::string, Cell> cells;  // by the workload's name
  std::vector<Restart> restarts;

  std::unique_ptr<Stack> stack;
  std::optional<Servers> own_servers;  // in the guest
  const Servers* servers = nullptr;

  [[nodiscard]] const Servers& reached_servers() const { return own_servers ? *own_servers : *servers; }
};

// A message, and the last line of the stack's log unless the message has it.
[[nodiscard]] std::string with_log(const Stack* stack, const std::string& message);

}  // namespace glassbox::bench
