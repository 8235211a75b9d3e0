// The run: all stacks up side by side, the workloads in rounds that go through the stacks in turn, then the
// counts, then the boots.
//
// Each round begins with another stack, so that whatever else the machine does falls on all of them alike. A
// stack's turn is a client that does the warm-up and ends, then one that does the warm-up again and the
// cycles that count; what the second did more than the first is what the counts are of.
//
// The null test runs in every round: the harness on nothing (stack loopback, with all that a turn is) beside
// a plain loop in this process that shares only the server with it. What the two differ by, the harness adds.
//
// A turn that fails leaves its stack in a state that nobody knows: the stack is started anew, and the turn is
// taken once more, since what broke may have been the machine below. The report says so. A workload whose
// second turn fails is given up on that stack, with its reason; the other workloads and stacks go on. A
// signal ends it after what is done.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/measure/contender.h"
#include "tools/bench/process/progress.h"
#include "tools/bench/process/watch.h"

namespace glassbox::bench {

struct NullTest {
  Rounds harness, plain;
  std::string failed = {};  // why it ended before the rounds did
};

struct BootRow {
  std::string label, machine, refused;
  Rounds ready;                            // start of the program to agent ready; one a round
  Rounds first_entry;                      // start of the program to the first guest instruction
  std::map<std::uint32_t, Rounds> stages;  // start to a stage (bpf/boot_stages.h), ours only
  Rounds kernel;                           // the kernel's own clock when it started init
  std::vector<double> exits;               // until ready
  std::vector<Restart> restarts;           // a boot that failed and was taken once more
};

struct CompareResult {
  CompareSpec spec;
  nlohmann::json machine;
  std::uint32_t rounds_done = 0;
  bool interrupted = false;
  std::vector<Contender> rows;
  NullTest null_test;
  std::vector<BootRow> boots;
  std::string counts_missing;  // why there is no pass of counts
  std::string marks_missing;
  nlohmann::json traced;  // report of a traced run of glassbox, where a target is missed (misses.h)
  int traced_tries = 0;
  std::string trace_missing;  // why there is none
};

[[nodiscard]] Result<CompareResult> run_compare(const CompareSpec& spec, Watch& watch);

// Boots of the stacks with a VM, in turn, nothing else running. (boot.cc)
void measure_boots(CompareResult& result, VsockDoor* door, Watch& watch, Progress& progress);

}  // namespace glassbox::bench
