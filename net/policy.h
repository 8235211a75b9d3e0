// Where the guest may connect to, and what its destinations mean on the host.
//
// 10.0.2.2 and fd00:10:0:2::2 are the host's loopback (127.0.0.1 and ::1) if the user opened it, port 53
// of 10.0.2.3 and fd00:10:0:2::3 is the host's name server. Closed means: 127/8, 0/8, ::, ::1 and the host's
// own addresses are refused as well, since each of them reaches services that listen on the host. (Mapped
// forms need no rule: in this program they are the IPv4 address.) The own addresses are read at the start and
// again when the kernel says that they changed. Of an IPv4 address of the loopback interface the whole
// network is the host's own: that is how the kernel routes it, and what makes 127/8 what it is.
//
// Thread: the network thread.
#pragma once

#include <memory>
#include <vector>

#include "net/dns/resolver.h"
#include "net/inet.h"
#include "net/loop/event_loop.h"
#include "net/nat_config.h"
#include "net/reasons.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

inline constexpr std::uint16_t kDnsPort = 53;

class DestinationPolicy final : public FdHandler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DestinationPolicy>> create(const NatConfig& config,
                                                                         EventLoop& loop);
  ~DestinationPolicy() override;

  struct Ruling {
    RefuseReason refuse = RefuseReason::kNone;
    IpAddress connect_to;  // of either family, whatever the destination's
    bool local = false;    // on this very host: a connect ends before the system call returns
    bool dns = false;      // the name server
  };
  // port: 0 for a protocol that has none.
  [[nodiscard]] Ruling check(const IpAddress& destination, std::uint16_t port);
  // What the guest's name server stands for, and a number that changes with it.
  [[nodiscard]] std::span<const IpAddress> name_servers() { return resolver_.servers(loop_.now_ns()); }
  [[nodiscard]] std::uint32_t name_servers_version() { return resolver_.version(loop_.now_ns()); }
  // Whether a host's address is one of the host itself.
  [[nodiscard]] bool is_own(const IpAddress& address) const;
  // The address under which a peer outside is known to the guest: its own, if the guest can answer to that,
  // else the gateway's.
  [[nodiscard]] IpAddress seen_by_guest(const IpAddress& peer) const;

  void on_fd_ready(std::uint32_t events) override;

 private:
  DestinationPolicy(const NatConfig& config, EventLoop& loop, UniqueFd changes);
  [[nodiscard]] bool loopback_open(std::uint16_t port) const;
  [[nodiscard]] Status read_own_addresses();

  const bool allow_host_loopback_;
  const std::vector<std::uint16_t> loopback_ports_;
  const std::vector<Cidr> deny_;
  Resolver resolver_;
  EventLoop& loop_;
  UniqueFd changes_;            // rtnetlink, told of address changes; may be absent
  std::vector<IpAddress> own_;  // sorted
  std::vector<Cidr> own_networks_;
};

}  // namespace glassbox::net
