// What to trace: a VM, or the host side of any glassbox process.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {

struct RecordTarget {
  pid_t pid = 0;
  std::filesystem::path vsock_path;  // empty: a process without a guest
  std::string description;           // "VM demo (pid 123)", for messages
};

// Finds the target by VM name, or by pid, or, with neither, takes the only VM that runs. It is an error if
// the name is unknown, or if no VM or several VMs run.
[[nodiscard]] Result<RecordTarget> find_target(const std::optional<std::string>& name,
                                               std::optional<pid_t> pid);

// Claims the right to record the target's guest, whose agent serves one recorder at a time. The claim lasts
// until the descriptor is closed or this process ends. If another process holds it, the error names that
// process. A target without a guest needs no claim: the descriptor is then invalid.
[[nodiscard]] Result<UniqueFd> claim_recording(const RecordTarget& target);

}  // namespace glassbox::trace
