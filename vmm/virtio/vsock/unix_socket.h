// UNIX stream sockets for the vsock device: non-blocking, close-on-exec.
#pragma once

#include <string>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::virtio {

// Listens at path. Replaces a socket or file that is there.
[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path);
// Fails at once if no process listens at path, or if its backlog is full. Never blocks.
[[nodiscard]] Result<UniqueFd> connect_unix(const std::string& path);

}  // namespace glassbox::virtio
