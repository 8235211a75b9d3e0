// What the host says of what it does for the guest, in the guest's terms.
#pragma once

#include "net/host/host_error.h"
#include "net/icmp/icmp_error.h"
#include "net/policy.h"
#include "net/reasons.h"

namespace glassbox::net {

// An errno of socket(), connect() or send().
[[nodiscard]] RefuseReason refuse_reason_of(int error);

// An error that the host got about a datagram, as the guest is to get it. It comes from who sent it, unless
// that is the host itself or the guest knows the destination by another address. False for what is of no use
// to the guest.
[[nodiscard]] bool translate(const HostError& error, const DestinationPolicy& policy,
                             const IpAddress& host_destination, const FlowKey& key, IcmpError& out);

}  // namespace glassbox::net
