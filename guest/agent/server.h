// The agent's main loop: accepts connections on the exec and trace ports and drives the command sessions.
//
// One thread, one poll(). Listeners are whatever stream sockets the caller made: AF_VSOCK in a guest, UNIX
// sockets in a test. Trace connections are handed on, since loading BPF programs blocks.
#pragma once

#include <functional>
#include <list>

#include "guest/agent/command_session.h"

namespace glassbox::agent {

class Server {
 public:
  struct Callbacks {
    std::function<void(UniqueFd)> trace_connection;  // takes it over; must not block
    std::function<void()> power_off;                 // the host asked for it
    std::function<void(int)> signal;                 // a signal other than SIGCHLD came in on signal_fd
  };
  struct Inputs {
    UniqueFd exec_listener;
    UniqueFd trace_listener;
    UniqueFd signal_fd;  // a signalfd, or invalid; with SIGCHLD in its mask the server reaps all children
    UniqueFd stop_fd;    // run() returns once this is readable, or invalid
  };

  Server(Inputs inputs, Callbacks callbacks) : in_(std::move(inputs)), call_(std::move(callbacks)) {}

  // Until stop_fd is readable.
  [[nodiscard]] Status run();

 private:
  void accept_command();
  void accept_trace();
  void take_signals();
  void reap_children();

  Inputs in_;
  Callbacks call_;
  std::list<CommandSession> sessions_;
};

}  // namespace glassbox::agent
