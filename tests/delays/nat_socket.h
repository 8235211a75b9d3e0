// Takes a socket of the NAT's process (pidfd_getfd) to make the kernel delay its acknowledgements.
#pragma once

#include <sys/types.h>

#include "vmm/base/result.h"

namespace glassbox::delays {

// `connection` is the server's end. From now on the kernel delays its acknowledgement of what the NAT's end
// receives by 40 ms (TCP_DELACK_MIN), unless data goes the other way first. Needs ptrace access to `nat`.
[[nodiscard]] Status delay_acknowledgements(pid_t nat, int connection);

}  // namespace glassbox::delays
