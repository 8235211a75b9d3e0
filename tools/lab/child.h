// Starts one command in the lab, in a session of its own, with the descriptors that the caller described.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

#include "tools/lab/wire.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::lab {

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd terminal;  // the pty's master side if any of the three descriptors is a terminal, else invalid
  std::array<UniqueFd, 3>
      pipes{};  // our ends of stdin, stdout, stderr; invalid where that one is the terminal
};

// Why a command did not start, as a shell would say it: 126 cannot be run, 127 not found, 125 our own
// failure.
struct StartFailure {
  int status = 125;
  std::string message;
};

[[nodiscard]] tl::expected<Child, StartFailure> start_child(const Hello& hello);
// Sends `signal` to every process of the session that `sid` led, whatever its process group.
void signal_session(pid_t sid, int signal);

}  // namespace glassbox::lab
