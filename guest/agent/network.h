// The guest's interfaces: lo, and eth0 with 10.0.2.15/24 and fd00:10:0:2::15/64 behind the gateways 10.0.2.2
// and fd00:10:0:2::2 (net/nat.h has the same addresses). The name server, 10.0.2.3, is in the image's
// /etc/resolv.conf.
#pragma once

#include "vmm/base/result.h"

namespace glassbox::agent {

// Returns once eth0 has its carrier: a packet that is sent earlier is lost, and nothing reports it. Blocks
// for at most a few seconds. Also opens ping sockets to every group.
[[nodiscard]] Status bring_up_network();

}  // namespace glassbox::agent
