// The run: servers, all stacks side by side, and the exchanges in rounds that go through the stacks in turn,
// each round beginning with another one, so that whatever else the machine does falls on all of them alike.
//
// CPU time of a stack is that of the process that carries the packets, over the timed exchanges. System calls
// are counted in a run of their own after them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure/stats.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

// Parts of a run; each fills its own fields of a row, so that runs of different parts can be merged.
struct Parts {
  bool latency = true;  // CRR and RR, system calls
  bool streams = true;
  bool parallel = true;  // CRR of several flows at once
  bool idle = true;      // open flows that do nothing
};

struct NetSpec {
  Parts parts;
  std::vector<std::string> stacks;  // names; empty: all
  std::uint32_t rounds = 10;
  std::uint32_t cycles = 200;      // CRR and RR exchanges of a stack in a round
  std::uint64_t stream_mib = 128;  // of one stream
  std::uint32_t stream_rounds = 5;
  std::vector<std::uint16_t> stream_mtus = {1500, 65520};
  std::vector<std::uint16_t> parallel_flows = {1, 8, 64};
  std::uint32_t parallel_rounds = 5;
  std::uint32_t parallel_cycles = 2000;  // of a stack in a round, all flows together
  std::uint32_t idle_flows = 10'000;
};

struct Latency {
  Summary times;
  double cpu_ns = 0;  // an exchange, in the carrier
};

struct Throughput {
  std::uint16_t mtu = 0;
  bool out = true;
  std::vector<double> gbps;  // one a round
  std::string refused;
};

struct Parallel {
  std::uint16_t flows = 0;
  std::vector<double> per_second;  // CRR, one figure a round
  std::string refused;
};

struct IdleFlows {
  std::uint32_t flows = 0;
  double cpu_percent = 0;  // of one core
  std::uint64_t resident_kib = 0;
  Summary loaded, unloaded;  // CRR with the idle flows open and without
  double half_closed_wakeups_per_s = 0;
  std::string refused;
};

struct NetRow {
  std::string stack;
  std::string program;  // that carried the packets; empty: the kernel
  std::string version;
  int pid = 0;
  std::string refused;  // why there are no figures
  std::optional<Latency> crr, rr;
  std::map<std::string, double> calls;  // system calls a CRR, by name
  std::optional<double> calls_per_crr;
  std::string calls_missing;  // why they were not counted
  std::vector<Throughput> streams;
  std::vector<Parallel> parallel;
  std::optional<IdleFlows> idle;
};

[[nodiscard]] Result<std::vector<NetRow>> measure_net(const NetSpec& spec);

}  // namespace glassbox::bench
