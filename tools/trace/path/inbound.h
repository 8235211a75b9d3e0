// The chain of an inbound connection: a peer on the host's side connects to a published port, and a server in
// the guest answers it. From the peer's connect() to the reply in the peer's socket.
#pragma once

#include <unordered_map>
#include <vector>

#include "tools/trace/path/chain.h"

namespace glassbox::trace {

// The calls of the guest's servers, by the guest's port and the peer's.
class GuestServers {
 public:
  explicit GuestServers(const Trace& trace);
  [[nodiscard]] const std::vector<EventRef>& of(const HostFlow& flow) const;  // by time

 private:
  std::unordered_map<std::uint64_t, std::vector<EventRef>> by_ports_;
  std::vector<EventRef> none_;
};

// Empty if the flow has no beginning or no reply in the trace. `servers` is null where the guest was not
// traced; then the chain has the host's boundaries only.
[[nodiscard]] std::vector<Node> build_inbound_chain(const HostFlow& flow, const GuestServers* servers,
                                                    const ChainContext& context, bool has_irqs);

}  // namespace glassbox::trace
