// How many descriptors this process may have open.
#pragma once

#include <sys/resource.h>

namespace glassbox {

// Raises the soft limit to the hard one: each flow of the NAT holds a host socket, and the usual soft limit
// of 1024 is below --max-flows. Call before there are children that should not inherit it. A failure leaves
// the limit as it was, and the NAT then refuses flows with a reason.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace glassbox
