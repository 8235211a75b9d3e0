// The host's end of one command in the guest: `glassbox run -- CMD` and `glassbox exec`.
//
// Theory of operation. One poll loop over stdin, stdout, stderr, signals and the connection. Input is sent
// while less than kStdinWindow bytes are unacknowledged. Output is written in pieces that a pipe with room
// takes without blocking, and the connection is read only once they are written: a slow reader slows the
// command down but never delays a signal to it. The user's descriptors are never made non-blocking, since
// other processes share them.
//
// Signals: with a terminal, keys become signals in the guest, and a signal to this process ends the session.
// Without one, signals are passed to the command. A command that does not end within `patience_ms` of the
// first one, or after kGiveUpAfter of them, is left: the session ends, and the agent hangs the command up.
//
// Output that cannot be written (a full disk, a closed descriptor) does not end the command, but the end says
// so.
//
// Messages from the guest are checked: an unknown type or a wrong length ends the session as lost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/client/signals.h"

namespace glassbox::client {

inline constexpr int kGiveUpAfter = 3;

inline constexpr int kPatienceMs = 10'000;

struct CommandSpec {
  // Any bytes but zero, as many as Linux takes.
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value", added to the agent's defaults
  std::string cwd = "/";
  bool tty = false;
  int patience_ms = kPatienceMs;
};

// The user's descriptors; they stay the caller's.
struct Streams {
  int in = 0;
  int out = 1;
  int err = 2;
};

struct CommandEnd {
  enum class Kind {
    kExited,       // status is as a shell would give it; with a message, some output could not be written
    kCannotRun,    // status 126 or 127, message says why
    kInterrupted,  // by a signal to this process; status is 128 + signal, message says what was left
    kLost,         // the connection ended, or the agent broke the protocol; message says which
  };
  Kind kind = Kind::kLost;
  int status = 0;
  std::string message;
};

// Runs the command to its end over a connection to kExecPort. Meanwhile the terminal, if any, is raw.
[[nodiscard]] Result<CommandEnd> run_command(UniqueFd connection, const CommandSpec& command,
                                             const Streams& streams, const SignalWatch& signals);

// The variables that the user's environment adds to the guest's: TERM and LANG.
[[nodiscard]] std::vector<std::string> terminal_env();

// Asks the agent to power the guest off, over a connection to kExecPort.
[[nodiscard]] Status request_power_off(int connection);

}  // namespace glassbox::client
