// What a stack costs the machine beside time: figures that hold on a slow or busy machine too.
//
// Two sources. The kernel keeps some counts for everybody, free of charge, and they are read in the rounds
// that are timed: CPU time and context switches of a process (/proc), exits and injected interrupts of a VM
// (KVM's debugfs). The others cost something to make and are made in a pass of their own after them: system
// calls, wake-ups, exits by reason (../kernel_counter.h; root).
//
// A client's start and end cost something as well. Every figure is therefore a difference: a client that does
// warm_up cycles is taken from one that does warm_up + n.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

// Totals since the start of the processes.
struct ProcessCounts {
  double cpu_ns = 0;
  double switches = 0;
  std::optional<double> exits, injections;  // of the VM, where there is one
};
[[nodiscard]] ProcessCounts operator-(const ProcessCounts& later, const ProcessCounts& earlier);
ProcessCounts& operator+=(ProcessCounts& to, const ProcessCounts& more);

// Sums over the processes and their threads; fails where one is gone.
[[nodiscard]] Result<ProcessCounts> read_process_counts(const std::vector<pid_t>& pids);

// Who carried packets has run: counts of a process that did not are another's. Pure.
[[nodiscard]] Status check_ran(const std::string& who, const ProcessCounts& before,
                               const ProcessCounts& after);

}  // namespace glassbox::bench
