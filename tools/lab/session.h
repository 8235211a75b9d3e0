// One command inside the lab, from the caller's Hello to its exit status.
#pragma once

#include <string>

#include "vmm/base/unique_fd.h"

namespace glassbox::lab {

// Serves one connection to its end. Runs in a process of its own, so that a stuck command holds up nobody.
// `host_file` lies on the host: a ping is answered when every CPU has run us and the host has answered for it
// (health.h).
void serve_session(UniqueFd socket, const std::string& token, const std::string& host_file);

}  // namespace glassbox::lab
