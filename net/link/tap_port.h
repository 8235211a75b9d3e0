// A tap device as the carrier of the NAT's frames: `glassbox netns`. The kernel's own stack is the guest.
//
// Frames carry the 12-byte vnet header in both directions, so that large segments and incomplete checksums
// pass. A frame costs one read or one write; frames for the guest wait in this port's slots until
// rx_publish().
//
// Thread: the network thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "net/guest_port.h"
#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class TapPort final : public GuestPort, public FdHandler {
 public:
  // tap: from open_tap(), non-blocking; the port owns it. Registers with the loop, which must outlive the
  // port.
  [[nodiscard]] static Result<std::unique_ptr<TapPort>> create(UniqueFd tap, EventLoop& loop);
  ~TapPort() override;

  void set_sink(FrameSink* sink) override { sink_ = sink; }
  [[nodiscard]] Offloads offloads() const override { return {true, true, true}; }
  [[nodiscard]] std::span<const iovec> rx_reserve(std::size_t bytes) override;
  void rx_commit(const RxFrame& frame) override;
  void rx_cancel() override {}
  std::size_t rx_publish() override;

  void on_fd_ready(std::uint32_t events) override;

 private:
  static constexpr std::size_t kVnetHeader = 12;
  static constexpr std::size_t kSlotBytes = kVnetHeader + 14 + 65536 + 64;
  static constexpr std::size_t kSlots = 32;

  TapPort(UniqueFd tap, EventLoop& loop);
  [[nodiscard]] std::uint8_t* slot(std::size_t index) { return slots_.get() + index * kSlotBytes; }

  UniqueFd tap_;
  EventLoop& loop_;
  FrameSink* sink_ = nullptr;
  std::unique_ptr<std::uint8_t[]> slots_;  // touched when used, the first ones most often
  std::array<RxFrame, kSlots> frames_;
  std::uint16_t used_idx_ = 0;
  iovec reserved_{};
  std::unique_ptr<std::uint8_t[]> incoming_;
};

// Creates the tap interface in the network namespace of the calling thread. Its descriptor is non-blocking.
[[nodiscard]] Result<UniqueFd> open_tap(const char* name);

}  // namespace glassbox::net
