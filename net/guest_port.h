// The seam between the NAT and whatever carries its frames: virtio-net queues in a VM, a tap device in
// `glassbox netns`, a fake in tests. The NAT knows nothing of KVM or virtio beyond the 12-byte vnet header
// format, which tap and virtio-net share (virtio 1.2, 5.1.6; struct virtio_net_hdr_mrg_rxbuf).
//
// Payload crosses once each way: from the frame's iovecs to the socket, and from the socket straight into the
// receive buffers that rx_reserve() lends.
//
// Thread: all on the network thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace glassbox::net {

// Offload fields of one frame, both directions; as in virtio_net_hdr, native byte order.
struct VnetHeader {
  std::uint8_t flags = 0;  // VIRTIO_NET_HDR_F_NEEDS_CSUM 1, DATA_VALID 2
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};

// What is known of a frame for the guest, for the probes rx_inject and irq_raise and for the vnet header.
struct RxFrame {
  std::size_t bytes = 0;  // of the Ethernet frame
  VnetHeader vnet;
  std::uint64_t flow = 0;
  std::uint32_t seq = 0;
  std::uint16_t tcp_flags = 0;
  // False: nobody is kept waiting if the guest finds it a few milliseconds later, with the next frame.
  bool awaited = true;
  // True: the guest answers at once with a frame of its own that nobody waits for, before any that is
  // awaited.
  bool expects_bare_ack = false;
};

// Implemented by the NAT.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // One frame from the guest, Ethernet header first, as it lies in guest memory: hostile, and it may change
  // under us. The iovecs are valid during the call only. queue is for the probe.
  virtual void on_guest_frame(std::span<const iovec> frame, const VnetHeader& vnet, std::uint16_t queue) = 0;
  // The port has taken what there was, for this turn. (ACKs are coalesced until here.)
  virtual void on_guest_burst_end() = 0;
  // Receive buffers were added after rx_reserve() had to refuse.
  virtual void on_rx_space() = 0;
};

// Implemented by the carrier.
class GuestPort {
 public:
  virtual ~GuestPort() = default;

  virtual void set_sink(FrameSink* sink) = 0;

  // What the guest side agreed to take: checksum left to be completed (NEEDS_CSUM / DATA_VALID), TCP segments
  // larger than the MTU. May change when the guest driver starts; read per frame.
  struct Offloads {
    bool rx_csum = false;
    bool rx_tso4 = false;
    bool rx_tso6 = false;
  };
  [[nodiscard]] virtual Offloads offloads() const = 0;

  // Lends writable buffers for one frame of up to `bytes` (Ethernet header on; the vnet header is the port's
  // own affair). Empty if the guest gave too few: remembered, on_rx_space() follows. One reservation at a
  // time, ended by rx_commit() or rx_cancel().
  [[nodiscard]] virtual std::span<const iovec> rx_reserve(std::size_t bytes) = 0;
  // The reserved buffers now hold frame.bytes bytes. Queued in order; the guest does not see it yet.
  virtual void rx_commit(const RxFrame& frame) = 0;
  virtual void rx_cancel() = 0;
  // Committed, not yet published. Asked for every frame of the guest: a field, no call.
  [[nodiscard]] std::uint32_t rx_queued() const { return queued_; }
  // Publishes all that was committed (rx_inject fires per frame before the store), then interrupts as the
  // guest asked (irq_raise). Returns the number of frames. A no-op when nothing is queued.
  virtual std::size_t rx_publish() = 0;

 protected:
  std::uint32_t queued_ = 0;  // kept by the carrier: what rx_queued() says
};

}  // namespace glassbox::net
