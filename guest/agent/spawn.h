// Starts one command of the guest, on pipes or on a terminal of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {

struct CommandRequest {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of env
  std::vector<std::string> env;   // "NAME=value", on top of the agent's defaults
  std::string cwd = "/";
  bool tty = false;
  unsigned short rows = 24;
  unsigned short cols = 80;
};

// Parses the JSON of kExecStart.
[[nodiscard]] Result<CommandRequest> parse_command(std::string_view json);

// A started command. It leads a session and a process group of its own. All descriptors are non-blocking.
struct Command {
  pid_t pid = -1;
  UniqueFd pid_fd;     // readable once it has ended
  UniqueFd stdin_fd;   // pipe; with a terminal: invalid, write to stdout_fd
  UniqueFd stdout_fd;  // pipe, or the terminal's master side
  UniqueFd stderr_fd;  // pipe; invalid with a terminal
};

// The error's code is the errno that chdir or exec failed with.
[[nodiscard]] Result<Command> spawn(const CommandRequest& request);

}  // namespace glassbox::agent
