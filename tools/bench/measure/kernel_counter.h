// What the kernel does for a few processes: system calls by number, wake-ups of their threads, exits of their
// vCPUs by reason. A BPF program on tracepoints, attached only in a pass that is not timed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

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
  // Counts for these processes from here on; needs root. Where a thread is given, system calls are of it
  // alone.
  [[nodiscard]] static Result<std::unique_ptr<KernelCounter>> start(const std::vector<pid_t>& pids,
                                                                    pid_t thread = 0);
  virtual ~KernelCounter() = default;
  [[nodiscard]] virtual KernelCounts read() const = 0;
};

// Names of exit reasons out of the print format of the tracepoint kvm_exit: the first list is VMX's (isa 1),
// the second SVM's (isa 2). Pure.
[[nodiscard]] std::map<std::uint32_t, std::string> exit_reasons(const std::string& format, std::uint32_t isa);

}  // namespace glassbox::bench
