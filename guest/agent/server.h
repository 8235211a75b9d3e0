// The agent's main loop: accepts connections on the exec and trace ports and drives the command sessions.
//
// One thread, one poll(). The listeners are stream sockets of any family: AF_VSOCK in a guest, UNIX sockets
// in a test. Command sessions run in this loop. Trace connections are handed to the caller, because loading
// BPF programs blocks.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <list>

#include "guest/agent/command_session.h"

namespace glassbox::agent {

// Whether a connection comes from the host, and not from a program in the guest, which must not get the
// agent's rights by its vsock. Sockets of other families than AF_VSOCK are the tests'.
[[nodiscard]] bool comes_from_host(const sockaddr_storage& peer);

class Server {
 public:
  struct Callbacks {
    std::function<void(UniqueFd)> trace_connection;  // owns the connection from now on; must not block
    std::function<void()> power_off;                 // the host sent kPowerOff
    std::function<void(int)> signal;                 // signal_fd reported a signal other than SIGCHLD
  };
  struct Inputs {
    UniqueFd exec_listener;
    UniqueFd trace_listener;
    UniqueFd signal_fd;  // a signalfd or invalid; with SIGCHLD in its mask the server reaps all children
    UniqueFd stop_fd;    // run() returns once it is readable; may be invalid
  };

  Server(Inputs inputs, Callbacks callbacks) : in_(std::move(inputs)), call_(std::move(callbacks)) {}

  // Serves until stop_fd is readable. Fails only if poll() does.
  [[nodiscard]] Status run();

 private:
  static UniqueFd accept_from_host(const UniqueFd& listener);
  void accept_command();
  void accept_trace();
  void take_signals();
  void reap_children();

  Inputs in_;
  Callbacks call_;
  std::list<CommandSession> sessions_;
};

}  // namespace glassbox::agent
