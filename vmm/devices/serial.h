// A 16550A UART as far as Linux's 8250 driver and consoles use it: both FIFOs, interrupts, loopback; no
// modem.
//
// Output is taken at once (the transmitter is always empty), so that no guest code waits for a baud rate, and
// goes to a ByteSink that must not block. Input waits in a receive FIFO until the guest has read it.
//
// Interrupts are edges on an eventfd (an irqfd): one when a cause appears, as on an edge-triggered ISA
// line. The driver reads IIR until no cause is left, so one edge is enough.
//
// Thread: any (one lock).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>

#include "vmm/platform/services.h"

namespace glassbox::devices {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Must not block: called with the device's lock held.
  virtual void put(std::uint8_t byte) = 0;
  // The receive FIFO has room again.
  virtual void input_wanted() = 0;
};

class Serial : public IoHandler {
 public:
  static constexpr std::uint64_t kPorts = 8;

  // irq_event_fd and sink outlive the device.
  Serial(int irq_event_fd, ByteSink* sink) : irq_event_fd_(irq_event_fd), sink_(sink) {}

  // Queues bytes for the guest to read, as many as fit; returns their number.
  std::size_t input(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::size_t input_room() const;

  void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) override;
  void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) override;

 private:
  static constexpr std::size_t kReceiveRoom = 64;

  std::uint8_t read_register(unsigned reg);
  void write_register(unsigned reg, std::uint8_t value);
  std::uint8_t take_received();
  void receive(std::uint8_t byte);
  [[nodiscard]] std::uint8_t cause() const;  // the IIR value for the cause of highest priority
  [[nodiscard]] std::uint8_t modem_status() const;
  void raise_if_new(std::uint8_t cause_before);

  const int irq_event_fd_;
  ByteSink* const sink_;
  mutable std::mutex mutex_;
  std::array<std::uint8_t, kReceiveRoom> received_{};
  std::size_t received_head_ = 0;
  std::size_t received_count_ = 0;
  bool transmit_empty_pending_ = false;  // the "THR empty" cause has not been read from IIR
  std::uint8_t interrupt_enable_ = 0;
  std::uint8_t fifo_control_ = 0;
  std::uint8_t line_control_ = 0;
  std::uint8_t modem_control_ = 0;
  std::uint8_t scratch_ = 0;
  std::uint16_t divisor_ = 1;
};

}  // namespace glassbox::devices
