// A published TCP port: listens on the host and hands every connection to the NAT's TCP.
//
// The guest sees the peer's own address, or the gateway's if the guest could not answer to the peer's
// (DestinationPolicy::seen_by_guest).
//
// Thread: the network thread.
#pragma once

#include <memory>

#include "net/link/guest_link.h"
#include "net/loop/event_loop.h"
#include "net/nat_config.h"
#include "net/policy.h"
#include "net/tcp/tcp.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class TcpListener final : public FdHandler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TcpListener>> create(const PublishedPort& port, EventLoop& loop,
                                                                   GuestLink& link,
                                                                   const DestinationPolicy& policy, Tcp& tcp);
  ~TcpListener() override { loop_.remove(fd_.get()); }
  void on_fd_ready(std::uint32_t events) override;
  // When to try again to accept, CLOCK_MONOTONIC in nanoseconds; 0 if nothing failed.
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return retry_ns_; }
  void on_deadline();

 private:
  TcpListener(std::uint16_t guest_port, EventLoop& loop, GuestLink& link, const DestinationPolicy& policy,
              Tcp& tcp, UniqueFd fd)
      : guest_port_(guest_port), loop_(loop), link_(link), policy_(policy), tcp_(tcp), fd_(std::move(fd)) {}
  const std::uint16_t guest_port_;
  EventLoop& loop_;
  GuestLink& link_;
  const DestinationPolicy& policy_;
  Tcp& tcp_;
  UniqueFd fd_;
  std::uint64_t retry_ns_ = 0;
};

}  // namespace glassbox::net
