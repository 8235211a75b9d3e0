// What a stack costs the machine beside time: figures that hold on a slow or busy machine too.
//
// Two sources. The kernel keeps some counts for everybody, free of charge, and they are read in the rounds
// that are timed: CPU time and context switches of a process (/proc), exits and injected interrupts of a VM
// (KVM's debugfs). The others cost something to make and are made in a pass of their own after them: system
// calls, wake-ups, exits by reason (a BPF program on tracepoints; root).
//
// A client's start and end cost something as well. Every figure is therefore a difference: a client that does
// warm_up cycles is taken from one that does warm_up + n.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
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

// Totals since the counter was attached.
struct KernelCounts {
  double calls = 0, wakeups = 0, exits = 0;
  std::map<std::string, double> by_call, by_reason;
};
[[nodiscard]] KernelCounts operator-(KernelCounts later, const KernelCounts& earlier);
KernelCounts& operator+=(KernelCounts& to, const KernelCounts& more);
KernelCounts& operator/=(KernelCounts& counts, double by);

class KernelCounter {
 public:
  // Counts for these processes from here on; needs root.
  [[nodiscard]] static Result<std::unique_ptr<KernelCounter>> start(const std::vector<pid_t>& pids);
  virtual ~KernelCounter() = default;
  [[nodiscard]] virtual KernelCounts read() const = 0;
};

// Names of exit reasons out of the print format of the tracepoint kvm_exit: the first list is VMX's (isa 1),
// the second SVM's (isa 2). Pure.
[[nodiscard]] std::map<std::uint32_t, std::string> exit_reasons(const std::string& format, std::uint32_t isa);

}  // namespace glassbox::bench
