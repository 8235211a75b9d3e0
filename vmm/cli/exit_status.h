// The exit status for the end of a machine, and how `exec` in another process learns it.
//
// A monitor keeps a file "outcome" in its runtime directory, empty until the machine has ended, then one
// line: the exit status (120 guest panic, 121 powered off, 125 failure, 0 stopped) and the reason. `exec`
// opens the file before it starts: the directory disappears with the monitor, an open file does not.
#pragma once

#include <optional>
#include <string>

#include "vmm/base/result.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/client/session.h"
#include "vmm/machine/machine_end.h"

namespace glassbox::cli {

inline constexpr const char* kOutcomeFile = "outcome";

[[nodiscard]] int exit_status(const MachineEnd& outcome);
// Of a command in the guest; prints why it could not run. Nothing if the connection was lost.
[[nodiscard]] std::optional<int> exit_status(const client::CommandEnd& outcome);

struct EndOfVm {
  int status;
  std::string message;
};

// Follows another process's VM to its end.
class VmWatch {
 public:
  [[nodiscard]] static Result<VmWatch> open(const RunningVm& vm);
  // Waits for the monitor to end; nothing if it takes longer.
  [[nodiscard]] std::optional<EndOfVm> wait(int timeout_ms) const;
  // Readable once the monitor has ended.
  [[nodiscard]] int pid_fd() const { return pid_fd_.get(); }

 private:
  VmWatch(UniqueFd pid_fd, UniqueFd file) : pid_fd_(std::move(pid_fd)), file_(std::move(file)) {}
  UniqueFd pid_fd_;
  UniqueFd file_;
};

}  // namespace glassbox::cli
