// Starts one command in the guest, on pipes or on a new terminal. Thread: any; spawn() forks and blocks until
// the child has called exec().
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {

struct CommandRequest {
  std::vector<std::string> argv;  // never empty; argv[0] is looked up in the PATH of env
  std::vector<std::string> env;   // "NAME=value"; replaces the agent's default of that name
  std::string cwd = "/";
  bool tty = false;
  unsigned short rows = 24;
  unsigned short cols = 80;
};

// What came before kExecStart (guest/protocol.h): strings, each ended by a zero byte.
struct CommandStrings {
  std::string arguments;
  std::string environment;
};

// Parses the JSON of kExecStart and the strings before it, which count where the JSON has none. The host is
// not trusted: fails on a wrong type, a zero byte inside, or a string without its end.
[[nodiscard]] Result<CommandRequest> parse_command(std::string_view json, const CommandStrings& strings = {});

// A started command. It leads a session and a process group of its own. The caller owns the descriptors,
// which are non-blocking, and must reap the pid.
struct Command {
  pid_t pid = -1;
  UniqueFd pid_fd;     // readable once it has ended
  UniqueFd stdin_fd;   // pipe; invalid with a terminal, whose input goes to stdout_fd
  UniqueFd stdout_fd;  // pipe, or the terminal's master side
  UniqueFd stderr_fd;  // pipe; invalid with a terminal
};

// If chdir() or exec() fails in the child, the error's code is their errno and its message names the command.
[[nodiscard]] Result<Command> spawn(const CommandRequest& request);

}  // namespace glassbox::agent
