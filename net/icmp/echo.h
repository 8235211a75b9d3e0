// ICMP echo from the guest to other hosts, of either family.
//
// Each (identifier, destination) of the guest has one host socket, which is closed after a minute without
// traffic (RFC 5508, REQ-2). The identifier is replaced on the way out and restored on the way in. If the
// host allows no socket for echo, the guest gets "administratively prohibited".
//
// A raw socket receives every reply that comes from its destination, so the identifier of each is checked.
//
// Thread: the network thread. Nothing waits, and nothing allocates after the constructor.
#pragma once

#include <cstdint>

#include "net/flow/admission.h"
#include "net/flow/datagram_table.h"
#include "net/icmp/echo_socket.h"
#include "net/icmp/icmp_error.h"
#include "net/link/guest_link.h"
#include "net/loop/event_loop.h"
#include "net/policy.h"

namespace glassbox::net {

class Echo {
 public:
  Echo(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
       NatCounters& counters);
  ~Echo();
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

  // Takes one echo request whose length and checksum are right, and changes it in place. hops: how many hops
  // it may still go, as for set_hops().
  void on_request(const IpAddress& guest, const IpAddress& destination, std::uint8_t hops,
                  std::span<std::uint8_t> message);
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return table_.size() == 0 ? 0 : next_sweep_ns_; }
  void on_deadline();

 private:
  struct Flow final : FdHandler {
    void on_fd_ready(std::uint32_t events) override { echo->on_host_event(*this, events); }
    Echo* echo = nullptr;
    FlowKey key;  // guest_port is the guest's identifier
    IpAddress host_destination;
    int fd = -1;
    std::uint16_t index = 0;
    std::uint16_t next = 0;
    std::uint16_t host_id = 0;  // on a raw socket
    bool open = false;
    bool raw = false;
    std::uint8_t hops = 0;  // the hop limit that is set on the socket; 0: the host's own
    std::uint64_t active_ns = 0;
  };

  [[nodiscard]] Flow* open(const FlowKey& key, std::span<const std::uint8_t> message);
  void close(Flow& flow);
  void on_host_event(Flow& flow, std::uint32_t events);
  [[nodiscard]] bool receive(Flow& flow);
  void pass_errors(Flow& flow);
  void refuse(const FlowKey& key, RefuseReason reason, std::span<const std::uint8_t> message);

  EventLoop& loop_;
  GuestLink& link_;
  DestinationPolicy& policy_;
  Admission& admission_;
  NatCounters& counters_;
  DatagramTable<Flow, 256> table_;
  std::uint16_t first_id_ = 0;  // of the 256 identifiers that raw sockets use
  std::uint64_t next_sweep_ns_ = 0;
  std::array<std::uint8_t, kIcmpFront + kMaxIpPacket> room_;  // one reply
};

}  // namespace glassbox::net
