// Takes a copy of one connection's socket from the NAT's process, to make the kernel delay its
// acknowledgements.
#pragma once

#include <sys/types.h>

#include "vmm/base/result.h"

namespace glassbox::delays {

// `connection` is the server's end. From now on the kernel acknowledges 40 ms late what the NAT's end
// receives, unless a segment goes the other way.
[[nodiscard]] Status delay_acknowledgements(pid_t nat, int connection);

}  // namespace glassbox::delays
