// One command inside the lab, from the caller's Hello to its exit status.
#pragma once

#include <string>

#include "vmm/base/unique_fd.h"

namespace glassbox::lab {

// Serves one connection to its end. Runs in a process of its own, so that a stuck command holds up nobody.
void serve_session(UniqueFd socket, const std::string& token);

}  // namespace glassbox::lab
