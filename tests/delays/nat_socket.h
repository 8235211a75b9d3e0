// Reaches into the NAT's process for the socket of one connection, to make its kernel delay acknowledgements.
#pragma once

#include <sys/types.h>

#include "vmm/base/result.h"

namespace glassbox::delays {

// `connection` is the server's end. From now on the kernel acknowledges what the NAT's end receives 40 ms
// late, unless a segment goes the other way.
[[nodiscard]] Status delay_acknowledgements(pid_t nat, int connection);

}  // namespace glassbox::delays
