// UDP between the guest and host sockets.
//
// Each (guest port, destination) has one connected host socket, which is closed after two minutes without
// traffic. Flows that peers began at a published port share that port's socket (net/udp/udp_listener.h) and
// are told apart by the peer's address. Datagrams are passed on whole or not at all, and ICMP errors about
// them are passed to the guest.
//
// Thread: the network thread. Nothing waits, and nothing allocates after the constructor.
#pragma once

#include <cstdint>

#include "net/flow/admission.h"
#include "net/flow/datagram_table.h"
#include "net/host/socket_address.h"
#include "net/icmp/icmp_error.h"
#include "net/link/guest_link.h"
#include "net/loop/event_loop.h"
#include "net/policy.h"
#include "net/udp/udp_listener.h"

namespace glassbox::net {

struct HostError;

class Udp final : public UdpListener::Receiver {
 public:
  Udp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
      NatCounters& counters);
  ~Udp() override;
  Udp(const Udp&) = delete;
  Udp& operator=(const Udp&) = delete;

  // Takes one datagram from the guest whose header is checked already. ttl: as the guest sent it. Returns why
  // it was dropped, kNone if it was not, or if the refusal was reported to the guest.
  [[nodiscard]] DropReason on_datagram(const FlowKey& key, std::uint8_t ttl, IovSlice& payload);
  // Takes the datagrams and errors of a published port's socket.
  void on_published(UdpListener& listener, std::uint32_t events) override;
  // When to look for idle flows again, CLOCK_MONOTONIC in nanoseconds; 0 if there is no flow.
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return table_.size() == 0 ? 0 : next_sweep_ns_; }
  void on_deadline();

 private:
  struct Flow final : FdHandler {
    void on_fd_ready(std::uint32_t events) override { udp->on_host_event(*this, events); }
    Udp* udp = nullptr;
    FlowKey key;
    IpAddress host_destination;
    UdpListener* listener = nullptr;  // the published port whose socket it shares, null if it has its own
    int fd = -1;
    std::uint16_t index = 0;
    std::uint16_t next = 0;
    std::uint16_t last_bytes = 0;  // length of the last payload that the guest sent
    bool open = false;
    std::uint8_t hops = 0;  // the hop limit that is set on the socket; 0: the host's own
    std::uint64_t active_ns = 0;
  };

  [[nodiscard]] Flow* open(const FlowKey& key, const IovSlice& payload, DropReason& reason);
  [[nodiscard]] Flow* open_published(UdpListener& listener, const FlowKey& key, const IpAddress& peer);
  void insert(Flow& vacant, const FlowKey& key, int fd, const IpAddress& host_destination);
  void close(Flow& flow);
  [[nodiscard]] int send(Flow& flow, IovSlice& payload);
  void on_host_event(Flow& flow, std::uint32_t events);
  [[nodiscard]] bool receive(Flow& flow);
  [[nodiscard]] bool receive_published(UdpListener& listener);
  [[nodiscard]] bool discard_one(int fd);
  void pass_errors(Flow& flow);
  void pass_errors(UdpListener& listener);
  void tell(const Flow& flow, const HostError& error, std::span<std::uint8_t> datagram);
  void refuse(const FlowKey& key, RefuseReason reason, const IovSlice& payload);
  void send_error(const FlowKey& key, IcmpErrorKind kind, const IovSlice& payload);
  [[nodiscard]] std::size_t largest_payload(const IpAddress& guest) const;

  EventLoop& loop_;
  GuestLink& link_;
  DestinationPolicy& policy_;
  Admission& admission_;
  NatCounters& counters_;
  DatagramTable<Flow, 1024> table_;
  // How many of them may belong to peers of published ports. Anyone may open those, and the guest's own flows
  // must still find a place.
  static constexpr std::uint32_t kMaxPublished = 512;
  std::uint32_t published_ = 0;
  std::uint64_t next_sweep_ns_ = 0;
};

}  // namespace glassbox::net
