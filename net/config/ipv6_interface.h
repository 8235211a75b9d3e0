// Gives an interface the guest's IPv6 address and default route at once, without router solicitation and
// duplicate address detection: there is no other host on the network. Used in the namespace of `glassbox
// netns` and in the guest.
#pragma once

#include "vmm/base/result.h"

namespace glassbox::net {

// Call it before the interface is up. Switches router solicitation and duplicate address detection off; a
// setting that the kernel does not have, or may not be changed, stays as it is.
void quiet_ipv6(const char* interface);

// Call it on an interface that is up. Sets fd00:10:0:2::15/64 and a default route over fd00:10:0:2::2. False
// if IPv6 is off in this kernel or on this interface.
[[nodiscard]] Result<bool> configure_ipv6(const char* interface);

}  // namespace glassbox::net
