// The seam between the NAT (a FrameSink) and the carrier of its frames (a GuestPort): virtio-net queues in a
// VM, a tap device in `glassbox netns`, a fake in tests. The NAT knows nothing of KVM or virtio except the
// 12-byte vnet header, which tap and virtio-net share (virtio 1.2, 5.1.6; struct virtio_net_hdr_mrg_rxbuf).
//
// Payload is copied once in each direction: from the frame's iovecs to the socket, and from the socket
// straight into the receive buffers that rx_reserve() lends. A frame for the guest:
//
//   room = port.rx_reserve(bytes);          // empty: no buffers, on_rx_space() follows
//   ... write the frame into room ...
//   port.rx_commit(frame);                  // or port.rx_cancel()
//   port.rx_publish();                      // later, for all frames of the turn
//
// Thread: every call is on the network thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace glassbox::net {

// Offload fields of one frame in either direction, as in virtio_net_hdr, native byte order.
struct VnetHeader {
  std::uint8_t flags = 0;  // VIRTIO_NET_HDR_F_NEEDS_CSUM 1, DATA_VALID 2
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};

// A frame for the guest: its vnet header, the arguments of the probes rx_inject and irq_raise, and two hints
// for the carrier about kicks and interrupts.
struct RxFrame {
  std::size_t bytes = 0;  // of the Ethernet frame
  VnetHeader vnet;
  std::uint64_t flow = 0;
  std::uint32_t seq = 0;
  std::uint16_t tcp_flags = 0;
  // False: the guest may find this frame a few milliseconds later, with the next one, and loses no time.
  bool awaited = true;
  // True: the guest answers at once with a bare ACK, which nothing waits for, and sends it before any frame
  // that matters. The carrier may leave that ACK without a kick.
  bool expects_bare_ack = false;
};

// What the carrier calls; the NAT implements it.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // One frame from the guest, Ethernet header first, in guest memory: its content is hostile and may change
  // while it is read, so it must be copied before it is checked. The iovecs are valid during the call only.
  // queue is an argument of the probe.
  virtual void on_guest_frame(std::span<const iovec> frame, const VnetHeader& vnet, std::uint16_t queue) = 0;
  // The port has handed over all frames of this turn. ACKs are coalesced until here.
  virtual void on_guest_burst_end() = 0;
  // The guest has added receive buffers after rx_reserve() found too few.
  virtual void on_rx_space() = 0;
};

// What the NAT calls; the carrier implements it.
class GuestPort {
 public:
  virtual ~GuestPort() = default;

  // Null: frames from the guest are dropped. The port does not own the sink.
  virtual void set_sink(FrameSink* sink) = 0;

  // What the guest's driver agreed to take: frames whose checksum is not complete (NEEDS_CSUM, DATA_VALID),
  // and TCP segments larger than the MTU. Changes when the driver starts, so it is read for every frame.
  struct Offloads {
    bool rx_csum = false;
    bool rx_tso4 = false;
    bool rx_tso6 = false;
  };
  [[nodiscard]] virtual Offloads offloads() const = 0;

  // Lends writable buffers for one frame of up to `bytes`, from the Ethernet header on; the port writes the
  // vnet header itself. Empty if the guest gave too few buffers: on_rx_space() follows once there are more.
  // One reservation at a time, ended by rx_commit() or rx_cancel().
  [[nodiscard]] virtual std::span<const iovec> rx_reserve(std::size_t bytes) = 0;
  // The reserved buffers hold frame.bytes bytes now. Queues the frame in order; the guest does not see it
  // yet.
  virtual void rx_commit(const RxFrame& frame) = 0;
  virtual void rx_cancel() = 0;
  // Frames that are committed and not published yet. A field, since it is read for every frame of the guest.
  [[nodiscard]] std::uint32_t rx_queued() const { return queued_; }
  // Publishes all committed frames (rx_inject fires for each before the store), then interrupts the guest if
  // it asked for that (irq_raise). Returns the number of frames; does nothing when none is queued.
  virtual std::size_t rx_publish() = 0;

 protected:
  std::uint32_t queued_ = 0;  // rx_queued(); the carrier keeps it up to date
};

}  // namespace glassbox::net
