// The process that keeps a stack's network namespace open, and tells the launcher its pid.
//
// The holder connects to a UNIX socket of the launcher (a path: UNIX sockets with a path are not bound to a
// network namespace) from within its namespace, and lives until the launcher closes that connection. The
// launcher takes the holder's pid from the socket's credentials. Clients and tools then enter the namespace
// by that pid.
#pragma once

#include <sys/types.h>

#include <string>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

// The holder's whole life (`glassbox-bench hold-namespace`); its exit status. unshare: first make a network
// namespace (as an ordinary user: in a user namespace), which a tool then joins by the holder's pid.
[[nodiscard]] int hold_namespace(const std::string& socket_path, bool unshare);

// The launcher's end: the namespace exists for as long as this object does.
struct NamespaceHolder {
  UniqueFd socket;
  pid_t pid = -1;
};

class HolderListener {
 public:
  // A holder of any user may connect.
  [[nodiscard]] static Result<HolderListener> open(const std::string& path);
  // Whether a holder has connected, within `limit_ms`.
  [[nodiscard]] bool waits(int limit_ms) const;
  // The holder that waits.
  [[nodiscard]] Result<NamespaceHolder> accept() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  UniqueFd socket_;
  std::string path_;
};

}  // namespace glassbox::bench
