// The chain of an inbound connection: a peer on the host's side connects to a published port, and a server in
// the guest answers. It runs from the peer's connect() to the reply in the peer's socket. Pure.
#pragma once

#include <unordered_map>
#include <vector>

#include "tools/trace/path/chain.h"

namespace glassbox::trace {

// The system calls of the guest's servers, by the ports of the guest and the peer. Refers to the trace, which
// must outlive it.
class GuestServers {
 public:
  explicit GuestServers(const Trace& trace);
  [[nodiscard]] const std::vector<EventRef>& of(const HostFlow& flow) const;  // by time

 private:
  std::unordered_map<std::uint64_t, std::vector<EventRef>> by_ports_;
  std::vector<EventRef> none_;
};

// Empty if the trace lacks the beginning of the flow or its reply. `servers` is null if the guest was not
// traced; the chain then has the host's boundaries only.
[[nodiscard]] std::vector<Node> build_inbound_chain(const HostFlow& flow, const GuestServers* servers,
                                                    const ChainContext& context, bool has_irqs);

}  // namespace glassbox::trace
