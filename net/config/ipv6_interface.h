// Gives an interface the guest's IPv6 address and default route, at once: no router is asked and no duplicate
// looked for, since nobody else is on the network. Used in the namespace of `glassbox netns` and in the
// guest.
#pragma once

#include "vmm/base/result.h"

namespace glassbox::net {

// Before the interface is set up: no solicitation of routers, no detection of duplicates. What the kernel
// does not have or does not let us change stays as it is.
void quiet_ipv6(const char* interface);

// On an interface that is up: fd00:10:0:2::15/64, default route over fd00:10:0:2::2. False if IPv6 is off in
// this kernel or on this interface.
[[nodiscard]] Result<bool> configure_ipv6(const char* interface);

}  // namespace glassbox::net
