// Where the guest may connect to, and what its destinations mean on the host.
//
// 10.0.2.2 is the host's loopback if the user opened it, 10.0.2.3 port 53 the host's name server. Closed
// means: 127/8, 0/8 and the host's own addresses are refused as well, since each of them reaches services
// that listen on the host. The own addresses are read at the start and again when the kernel says that they
// changed.
//
// Thread: the network thread.
#pragma once

#include <memory>
#include <vector>

#include "net/event_loop.h"
#include "net/inet.h"
#include "net/nat_config.h"
#include "net/reasons.h"
#include "net/resolver.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class DestinationPolicy final : public FdHandler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DestinationPolicy>> create(const NatConfig& config,
                                                                         EventLoop& loop);
  ~DestinationPolicy() override;

  struct Verdict {
    RefuseReason refuse = RefuseReason::kNone;
    Ipv4 connect_to = 0;  // host order
    bool local = false;   // on this very host: a connect ends before the system call returns
    bool dns = false;     // the name server
  };
  // port: 0 for a protocol that has none.
  [[nodiscard]] Verdict check(Ipv4 destination, std::uint16_t port);
  // Whether a host's address is one of the host itself.
  [[nodiscard]] bool is_own(Ipv4 address) const;

  void on_fd_ready(std::uint32_t events) override;

 private:
  DestinationPolicy(const NatConfig& config, EventLoop& loop, UniqueFd changes);
  [[nodiscard]] bool loopback_open(std::uint16_t port) const;
  [[nodiscard]] Status read_own_addresses();

  const bool allow_host_loopback_;
  const std::vector<std::uint16_t> loopback_ports_;
  const std::vector<Cidr> deny_;
  const std::optional<Ipv4> dns_;
  Resolver resolver_;
  EventLoop& loop_;
  UniqueFd changes_;       // rtnetlink, told of address changes; may be absent
  std::vector<Ipv4> own_;  // sorted
};

}  // namespace glassbox::net
