// How many system calls a process or one thread makes, by number: a BPF program on the raw tracepoint
// sys_enter. Attached only for the counting run, which is not the run that is timed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

class SyscallCount {
 public:
  // Counts from here on. Needs CAP_BPF and CAP_PERFMON, in practice root.
  // tid: one thread of the process; 0: all of them.
  [[nodiscard]] static Result<std::unique_ptr<SyscallCount>> start(pid_t pid, pid_t tid = 0);
  virtual ~SyscallCount() = default;
  // By number, those that occurred.
  [[nodiscard]] virtual std::map<std::uint32_t, std::uint64_t> counts() const = 0;
};

// "recvmsg", or "syscall 47" where this program has no name for it.
[[nodiscard]] std::string syscall_name(std::uint32_t number);

}  // namespace glassbox::bench
