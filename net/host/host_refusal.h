// Translates errors of the host into what the guest may see: a refusal, or an ICMP error.
#pragma once

#include "bpf/reasons.h"
#include "net/host/host_error.h"
#include "net/icmp/icmp_error.h"
#include "net/policy.h"

namespace glassbox::net {

// The reason that an errno of socket(), connect() or send() stands for.
[[nodiscard]] RefuseReason refuse_reason_of(int error);

// Turns an error about a host datagram into one about the guest's datagram. Its sender stays the same, unless
// that is the host itself or the guest knows it by another address. False if the guest has no use for it.
[[nodiscard]] bool translate(const HostError& error, const DestinationPolicy& policy,
                             const IpAddress& host_destination, const FlowKey& key, IcmpError& out);

}  // namespace glassbox::net
