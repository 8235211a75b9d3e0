// UDP between the guest and host sockets, first of all for DNS (10.0.2.3 port 53, see net/policy.h).
//
// One connected host socket for each (guest port, destination); it goes after a time without traffic.
// Datagrams are passed on whole or not at all. Nothing here waits: a name server's answer is an event like
// any other.
//
// Thread: the network thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/event_loop.h"
#include "net/guest_link.h"
#include "net/policy.h"

namespace glassbox::net {

class Udp {
 public:
  Udp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, NatCounters& counters);
  ~Udp();
  Udp(const Udp&) = delete;
  Udp& operator=(const Udp&) = delete;

  // Takes one datagram whose header is checked already.
  [[nodiscard]] DropReason on_datagram(const FlowKey& key, IovSlice& payload);
  // Ends flows that were idle for too long. 0 when there is nothing to wait for.
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return open_ == 0 ? 0 : next_sweep_ns_; }
  void on_deadline();
  [[nodiscard]] std::uint32_t open_flows() const { return open_; }

 private:
  static constexpr std::uint32_t kMaxFlows = 1024;
  static constexpr std::uint32_t kBuckets = 1024;
  static constexpr std::uint16_t kNone = 0xffff;

  struct Flow final : FdHandler {
    void on_fd_ready(std::uint32_t events) override { udp->on_host_event(*this, events); }
    Udp* udp = nullptr;
    FlowKey key;
    int fd = -1;
    std::uint16_t index = 0;
    std::uint16_t next = kNone;  // in its bucket, or in the list of free ones
    bool dns = false;
    std::uint64_t active_ns = 0;
  };

  [[nodiscard]] std::uint32_t bucket_of(const FlowKey& key) const;
  [[nodiscard]] Flow* find(const FlowKey& key);
  [[nodiscard]] Flow* open(const FlowKey& key, DropReason& reason);
  void close(Flow& flow);
  void on_host_event(Flow& flow, std::uint32_t events);
  [[nodiscard]] bool receive(Flow& flow);
  void refuse(const FlowKey& key, RefuseReason reason);

  EventLoop& loop_;
  GuestLink& link_;
  DestinationPolicy& policy_;
  NatCounters& counters_;
  std::unique_ptr<Flow[]> flows_;
  std::array<std::uint16_t, kBuckets> buckets_;
  std::uint16_t free_ = 0;
  std::uint32_t open_ = 0;
  std::uint64_t next_sweep_ns_ = 0;
};

}  // namespace glassbox::net
