// The measuring client inside a stack's network namespace, and the launcher's end of its control socket.
//
// The agent connects to the launcher's UNIX socket (a path: those do not belong to a network namespace) from
// within its namespace, then carries out one order after the other; it ends at the socket's end of file.
#pragma once

#include <sys/types.h>

#include <string>

#include "tools/bench/net/exchange.h"

namespace glassbox::bench {

// The agent's whole life; its exit status. With `unshare`, in a network namespace of its own, which a stack
// then joins by our pid (an ordinary user needs a user namespace around it).
[[nodiscard]] int run_agent(const std::string& socket_path, bool unshare);

class AgentLink {
 public:
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Result<std::vector<std::uint64_t>> run(const Order& order);

 private:
  friend class AgentDoor;
  UniqueFd socket_;
  pid_t pid_ = -1;
};

// Where agents of any user can connect.
class AgentDoor {
 public:
  [[nodiscard]] static Result<AgentDoor> open(const std::string& path);
  // Whether an agent connects within `limit_ms`.
  [[nodiscard]] bool waits(int limit_ms) const;
  // The next agent that connects; `who` names what is waited for in the error.
  [[nodiscard]] Result<AgentLink> admit(const std::string& who, int limit_ms);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  UniqueFd socket_;
  std::string path_;
};

}  // namespace glassbox::bench
