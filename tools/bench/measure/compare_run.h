// The run of `compare`: all stacks run side by side, the workloads in rounds that go through the stacks in
// turn, then the counts, the explanations of missed targets, and the boots.
//
// Each round begins with another stack, so that disturbances of the machine fall on all of them alike. A
// stack's turn is a client that does the warm-up and ends, then one that does the warm-up again and the
// cycles that count. Counts are the difference between the two clients.
//
// The null test (null_test.h) runs in every round.
//
// After a turn that fails, the state of its stack is unknown: the stack is restarted and the turn is taken
// once more, because the failure may have been the machine's. The report says so. A workload whose second
// turn fails is given up on that stack, with its reason; the other workloads and stacks go on. A signal ends
// the run, and the report shows what was measured until then.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/measure/null_test.h"
#include "tools/bench/measure/row.h"
#include "tools/bench/process/progress.h"
#include "tools/bench/process/watch.h"
#include "tools/bench/stacks/qemu_stack.h"

namespace glassbox::bench {

struct BootRow {
  std::string label, machine, refused;
  Rounds ready;                            // start of the program to agent ready; one a round
  Rounds first_entry;                      // start of the program to the first guest instruction
  std::map<std::uint32_t, Rounds> stages;  // start to a stage (bpf/boot_stages.h), glassbox only
  Rounds kernel;                           // the kernel's own clock when it started init
  std::vector<double> exits;               // until ready
  std::vector<Restart> restarts;           // of boots that failed and were repeated
};

struct CompareResult {
  Spec spec;
  nlohmann::json machine;
  std::uint32_t rounds_done = 0;
  bool interrupted = false;
  std::vector<Row> rows;
  NullTest null_test;
  std::vector<BootRow> boots;
  std::string counts_missing;  // why there is no pass of counts
  std::string marks_missing;
  nlohmann::json
      traced;  // report of a traced run of glassbox, where a target is missed (report/missed_targets.h)
  int traced_tries = 0;
  std::string trace_missing;  // why there is none
};

[[nodiscard]] Result<CompareResult> run_compare(const Spec& spec, Watch& watch);

// Boots the stacks with a VM, in turn, while nothing else runs. (boot.cc)
void measure_boots(CompareResult& result, GuestReadyPort* ready_port, Watch& watch, Progress& progress);

}  // namespace glassbox::bench
