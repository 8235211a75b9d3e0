// The destinations that the guest may reach, and what they mean on the host.
//
// 10.0.2.2 and fd00:10:0:2::2 mean the host's loopback (127.0.0.1 and ::1) if the user opened it. Port 53 of
// 10.0.2.3 and fd00:10:0:2::3 means the host's name server. While loopback is closed, 127/8, 0/8, ::, ::1 and
// the host's own addresses are refused as well, since each of them reaches services that listen on the host.
// (Mapped forms need no rule: IpAddress has one form for an IPv4 address.) The own addresses are read at the
// start and again when the kernel reports a change. For an IPv4 address of the loopback interface the whole
// network counts as the host's own, because the kernel routes all of it to the host: 127/8 is such a network.
//
// Thread: the network thread.
#pragma once

#include <memory>
#include <vector>

#include "bpf/reasons.h"
#include "net/dns/resolver.h"
#include "net/inet.h"
#include "net/loop/event_loop.h"
#include "net/nat_config.h"
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
    bool local = false;    // on this host: a connect ends before the system call returns
    bool dns = false;      // the destination is the name server
  };
  // Whether the guest may reach the destination, and under which address. port: 0 for a protocol without
  // ports. Reads /etc/resolv.conf again at most every few seconds, for the name server's address only.
  [[nodiscard]] Ruling check(const IpAddress& destination, std::uint16_t port);
  // The name servers behind the guest's one, and a number that changes with them.
  [[nodiscard]] std::span<const IpAddress> name_servers() { return resolver_.servers(loop_.now_ns()); }
  [[nodiscard]] std::uint32_t name_servers_version() { return resolver_.version(loop_.now_ns()); }
  // Whether the address belongs to the host itself.
  [[nodiscard]] bool is_own(const IpAddress& address) const;
  // The address under which the guest sees a peer: the peer's own if the guest can answer to it, else the
  // gateway's.
  [[nodiscard]] IpAddress seen_by_guest(const IpAddress& peer) const;

  void on_fd_ready(std::uint32_t events) override;

 private:
  // The addresses at which the host itself answers.
  struct OwnAddresses {
    std::vector<IpAddress> addresses;  // sorted
    std::vector<Cidr> networks;
  };
  [[nodiscard]] static Result<OwnAddresses> read_own_addresses();

  DestinationPolicy(const NatConfig& config, EventLoop& loop, UniqueFd changes);
  [[nodiscard]] bool loopback_open(std::uint16_t port) const;

  const bool allow_host_loopback_;
  const std::vector<std::uint16_t> loopback_ports_;
  const std::vector<Cidr> deny_;
  Resolver resolver_;
  EventLoop& loop_;
  UniqueFd changes_;  // rtnetlink socket that reports address changes; may be absent
  OwnAddresses own_;
};

}  // namespace glassbox::net
