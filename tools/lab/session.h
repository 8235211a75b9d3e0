// One command inside the lab, from the caller's Hello to its exit status.
#pragma once

#include <string>

#include "vmm/base/unique_fd.h"

namespace glassbox::lab {

// Serves one connection to its end. Runs in a process of its own, so that a command that hangs delays no
// other. `host_file` is a file of the host. A ping is answered once this process has run on every CPU and the
// host has answered a request for that file (health.h).
void serve_session(UniqueFd socket, const std::string& token, const std::string& host_file);

}  // namespace glassbox::lab
