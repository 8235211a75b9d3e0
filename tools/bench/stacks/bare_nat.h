// The floor of the comparison: the least user-mode NAT that can carry the cycle.
//
// One guest, TCP over IPv4, one frame a read() and a write() of the tap, payload up to one small segment. It
// has no timers, no retransmission, no window, no limits and no checks beyond lengths; it acknowledges with
// the answer only. It is right for CRR and RR on a tap that loses nothing, and for nothing else. What a
// correct NAT costs on top of it is what glassbox may be judged by.
#pragma once

#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

// Runs the command in a network namespace behind the bare NAT; its exit status. With `spin`, epoll_wait never
// sleeps.
[[nodiscard]] Result<int> run_bare_nat(const std::vector<std::string>& command, bool spin);

}  // namespace glassbox::bench
