// A published UDP port: a host socket whose datagrams go to a port of the guest, and through which the
// guest's answers go back to the peer.
//
// The guest sees the peer's own address, or the gateway's if the guest could not answer to the peer's
// (DestinationPolicy::seen_by_guest).
//
// Thread: the network thread.
#pragma once

#include <memory>

#include "net/flow/flow_key.h"
#include "net/link/guest_link.h"
#include "net/loop/event_loop.h"
#include "net/nat_config.h"
#include "net/policy.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class UdpListener final : public FdHandler {
 public:
  // Takes the datagrams and errors of a listener's socket. Must outlive the listener.
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void on_published(UdpListener& listener, std::uint32_t events) = 0;
  };

  [[nodiscard]] static Result<std::unique_ptr<UdpListener>> create(const PublishedPort& port, EventLoop& loop,
                                                                   GuestLink& link,
                                                                   const DestinationPolicy& policy,
                                                                   Receiver& receiver);
  ~UdpListener() override { loop_.remove(fd_.get()); }
  void on_fd_ready(std::uint32_t events) override { receiver_.on_published(*this, events); }

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The guest's address of the port's family.
  [[nodiscard]] IpAddress guest() const;
  // The key of a flow with this peer, as the guest sees it.
  [[nodiscard]] FlowKey key_of(const IpAddress& peer, std::uint16_t port) const;
  // Leaves the rest of the socket's datagrams to the next turn.
  void rearm();

 private:
  UdpListener(const PublishedPort& port, EventLoop& loop, GuestLink& link, const DestinationPolicy& policy,
              Receiver& receiver, UniqueFd fd)
      : guest_port_(port.guest_port),
        v6_(!port.address.is_v4()),
        loop_(loop),
        link_(link),
        policy_(policy),
        receiver_(receiver),
        fd_(std::move(fd)) {}
  const std::uint16_t guest_port_;
  const bool v6_;
  EventLoop& loop_;
  GuestLink& link_;
  const DestinationPolicy& policy_;
  Receiver& receiver_;
  UniqueFd fd_;
};

}  // namespace glassbox::net
