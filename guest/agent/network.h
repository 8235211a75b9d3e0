// The guest's network: lo, and eth0 at 10.0.2.15/24 and fd00:10:0:2::15/64 behind the gateways 10.0.2.2 and
// fd00:10:0:2::2. The name server (10.0.2.3) is in the image's /etc/resolv.conf.
#pragma once

#include "vmm/base/result.h"

namespace glassbox::agent {

// Returns once eth0 has its carrier, since a packet sent before is lost without a trace.
[[nodiscard]] Status bring_up_network();

}  // namespace glassbox::agent
