// UNIX stream sockets for the vsock device: non-blocking, close-on-exec.
#pragma once

#include <string>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::virtio {

// Listens at path; what was there before is replaced.
[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path);
// Fails at once if nobody listens at path, or its backlog is full.
[[nodiscard]] Result<UniqueFd> connect_unix(const std::string& path);

}  // namespace glassbox::virtio
