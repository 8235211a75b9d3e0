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

#include "tools/bench/stats.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct NetSpec {
  std::vector<std::string> stacks;  // names; empty: all
  std::uint32_t rounds = 10;
  std::uint32_t cycles = 200;      // CRR and RR exchanges of a stack in a round
  std::uint64_t stream_mib = 128;  // of one stream; 0: none
  std::uint32_t stream_rounds = 5;
  std::vector<std::uint16_t> stream_mtus = {1500, 65520};
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
};

[[nodiscard]] Result<std::vector<NetRow>> measure_net(const NetSpec& spec);

}  // namespace glassbox::bench
