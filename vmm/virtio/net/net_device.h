// virtio-net (virtio 1.2, 5.1), one queue pair: the NAT's GuestPort in a VM.
//
// Theory of operation
//
// Transmit (queue 1). A kick wakes the network loop. It pops chains, copies the vnet header out, trims it
// off, and gives the rest to the FrameSink in place, in guest memory. It takes at most kBurst frames a turn,
// so that the host's sockets get their turn, and the rest at the end of the next turn. Before the loop sleeps
// it arms the queue and looks again: no frame is left waiting for a kick that the driver thought unnecessary.
//
// When frames are sparse, a driver asks for an interrupt per transmitted frame, to free the buffer. That is
// not urgent, so with EVENT_IDX sent buffers are held back for at most kHoldNs, kHeldFrames or kHeldBytes.
// Usually the answer comes first: its receive interrupt announces both, and the driver frees sent buffers
// while it takes the answer (Linux does). A driver that has not noticed them when the hold time is over gets
// an interrupt.
//
// If the sink knows that the guest's next frame is a bare ACK that nothing waits for
// (RxFrame::expects_bare_ack: the acknowledgement of a SYN-ACK or of the last FIN), the loop sleeps past it:
// with EVENT_IDX it asks for the kick at the frame behind it, and sleeps at most kAnswerNs. If anything else
// wakes the loop, the ACK is taken then.
//
// Receive (queue 0). rx_reserve() pops chains until they hold the vnet header and the frame, and lends their
// buffers; with MRG_RXBUF that may be several, otherwise one. rx_commit() writes the header (num_buffers),
// pushes the chains that were filled and un-pops the others. rx_publish() fires rx_inject for each frame,
// moves the used index and interrupts if the driver wants it. Frames that are not urgent are published
// without an interrupt (EVENT_IDX again): the next frame's interrupt announces them, or one when the hold
// time is over. If a reservation finds too few buffers, and only then, receive kicks are armed, and the sink
// is called when buffers arrive.
//
// The frame path allocates nothing, takes no lock and reads no clock but the loop's; its storage is in fixed
// arrays here.
//
// Thread: the network loop.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "net/guest_port.h"
#include "net/loop/event_loop.h"
#include "vmm/virtio/device.h"

namespace glassbox::virtio {

struct NetConfig {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t mtu = 1500;
};

class NetDevice final : public Device, public net::GuestPort {
 public:
  static constexpr unsigned kReceiveQueue = 0;
  static constexpr unsigned kTransmitQueue = 1;
  static constexpr unsigned kBurst = 64;  // frames taken from the guest in one turn of the loop

  // Limits on sent buffers and interrupts that are held back.
  static constexpr std::uint64_t kHoldNs = 10'000'000;
  static constexpr unsigned kHeldFrames = 8;
  static constexpr std::uint32_t kHeldBytes = 16 * 1024;
  // At most this many bare ACKs are left without a kick, for at most kAnswerNs.
  static constexpr std::uint16_t kIdleAnswers = 8;
  static constexpr std::uint64_t kAnswerNs = 2'000'000;

  // Registers its hooks with the loop. The loop must outlive the device and must not run when it is
  // destroyed.
  NetDevice(net::EventLoop& loop, const NetConfig& config);

  // Device.
  DeviceInfo info() const override;
  net::EventLoop& loop() override { return loop_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> data) const override;
  bool accepts(std::uint64_t features) const override;
  void activate(Transport& transport, std::uint64_t features) override;
  void reset() override;
  void on_kick(unsigned queue) override;
  bool is_transmit_queue(unsigned queue) const override { return queue == kTransmitQueue; }

  // GuestPort.
  void set_sink(net::FrameSink* sink) override { sink_ = sink; }
  Offloads offloads() const override { return offloads_; }
  std::span<const iovec> rx_reserve(std::size_t bytes) override;
  void rx_commit(const net::RxFrame& frame) override;
  void rx_cancel() override;
  std::size_t rx_publish() override;

 private:
  static constexpr std::size_t kHeaderBytes = 12;  // virtio_net_hdr_v1; so with VERSION_1, merged or not
  static constexpr std::size_t kMaxIovecs = 1024;  // IOV_MAX: no system call takes more

  // A chain lent for the frame being received: its elements lie in iovecs_, one after the other.
  using LentChain = std::optional<DescriptorChain>;

  // The arguments of rx_inject for a committed frame.
  struct Committed {
    std::uint64_t flow;
    std::uint32_t seq;
    std::uint32_t bytes;
    std::uint16_t tcp_flags;
    std::uint16_t used_index;
  };

  void transmit();
  [[nodiscard]] bool arm_transmit();
  void transmit_one(DescriptorChain chain);
  void hold_or_complete();
  void complete();
  void end_hold();
  void hold();
  [[nodiscard]] bool nothing_held() const;
  void interrupt(unsigned queue, bool wanted);
  void turn_end();
  bool may_sleep(net::BeforeWait what);
  bool lend(std::size_t bytes);
  void give_back(std::size_t first);
  void check(const Queue& queue);

  net::EventLoop& loop_;
  const NetConfig config_;
  net::FrameSink* sink_ = nullptr;
  Transport* transport_ = nullptr;  // null: not active
  Queue* rx_ = nullptr;
  Queue* tx_ = nullptr;
  Offloads offloads_;
  bool mergeable_ = false;

  bool tx_pending_ = false;  // frames are left to take, and no kick will come for them
  unsigned tx_budget_ = kBurst;
  std::array<iovec, Queue::kMaxSize> tx_iovecs_{};

  unsigned held_frames_ = 0;  // sent and not published
  std::uint32_t held_bytes_ = 0;
  std::uint64_t hold_ends_ns_ =
      0;  // of buffers not published, or published without an interrupt; 0: there are none

  std::uint16_t idle_answers_ = 0;    // bare ACKs still to come
  std::uint64_t answers_end_ns_ = 0;  // until then the loop sleeps past them

  bool rx_starved_ = false;     // a reservation failed, and the sink was not called since
  bool rx_space_ = false;       // new buffers were seen: call the sink at the end of the turn
  std::uint16_t rx_known_ = 0;  // the available index when the reservation failed

  // The reservation.
  std::size_t lent_ = 0;
  std::size_t lent_bytes_ = 0;
  std::size_t iovecs_used_ = 0;
  std::array<LentChain, Queue::kMaxSize> chains_;
  std::array<iovec, kMaxIovecs> iovecs_{};    // lent to the sink: the frame, without the header
  std::array<iovec, kHeaderBytes> header_{};  // where the header goes; a byte each at worst
  std::size_t header_parts_ = 0;
  bool awaited_ = false;  // one of the committed frames is awaited

  std::array<Committed, Queue::kMaxSize> frames_{};
};

}  // namespace glassbox::virtio
