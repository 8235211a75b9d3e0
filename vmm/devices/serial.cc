#include "vmm/devices/serial.h"

#include <utility>

#include "vmm/base/io.h"

namespace glassbox::devices {
namespace {

// Registers, by port; data sheet of the National PC16550D.
enum Register : unsigned {
  kData,
  kInterruptEnable,
  kIdentAndFifo,
  kLine,
  kModem,
  kLineStatus,
  kModemStatus,
  kScratch
};

constexpr std::uint8_t kEnableReceived = 0x01;
constexpr std::uint8_t kEnableTransmitEmpty = 0x02;
constexpr std::uint8_t kNoCause = 0x01;
constexpr std::uint8_t kCauseTransmitEmpty = 0x02;
constexpr std::uint8_t kCauseReceived = 0x04;
constexpr std::uint8_t kFifosOn = 0xC0;
constexpr std::uint8_t kFifoEnable = 0x01;
constexpr std::uint8_t kFifoClearReceive = 0x02;
constexpr std::uint8_t kDivisorLatch = 0x80;
constexpr std::uint8_t kLoopback = 0x10;
constexpr std::uint8_t kDataReady = 0x01;
constexpr std::uint8_t kTransmitterEmpty = 0x60;   // holding register and shifter
constexpr std::uint8_t kCarrierReadyClear = 0xB0;  // DCD, DSR, CTS: the other end is connected

}  // namespace

std::size_t Serial::input(std::span<const std::uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  const std::uint8_t before = cause();
  std::size_t taken = 0;
  while (taken < bytes.size() && received_count_ < received_.size())
    receive(bytes[taken++]);
  raise_if_new(before);
  return taken;
}

std::size_t Serial::input_room() const {
  const std::lock_guard lock(mutex_);
  return received_.size() - received_count_;
}

void Serial::io_read(unsigned /*vcpu*/, std::uint64_t offset, std::span<std::uint8_t> data) {
  const std::lock_guard lock(mutex_);
  for (std::uint8_t& byte : data)
    byte = read_register(static_cast<unsigned>(offset++));
}

void Serial::io_write(unsigned /*vcpu*/, std::uint64_t offset, std::span<const std::uint8_t> data) {
  const std::lock_guard lock(mutex_);
  for (const std::uint8_t byte : data)
    write_register(static_cast<unsigned>(offset++), byte);
}

std::uint8_t Serial::read_register(unsigned reg) {
  const bool divisor_latch = (line_control_ & kDivisorLatch) != 0;
  switch (reg) {
    case kData:
      return divisor_latch ? static_cast<std::uint8_t>(divisor_) : take_received();
    case kInterruptEnable:
      return divisor_latch ? static_cast<std::uint8_t>(divisor_ >> 8) : interrupt_enable_;
    case kIdentAndFifo: {
      const std::uint8_t now = cause();
      if (now == kCauseTransmitEmpty) transmit_empty_pending_ = false;
      return static_cast<std::uint8_t>(now | ((fifo_control_ & kFifoEnable) != 0 ? kFifosOn : 0));
    }
    case kLine:
      return line_control_;
    case kModem:
      return modem_control_;
    case kLineStatus:
      return static_cast<std::uint8_t>(kTransmitterEmpty | (received_count_ > 0 ? kDataReady : 0));
    case kModemStatus:
      return modem_status();
    default:
      return scratch_;
  }
}

void Serial::write_register(unsigned reg, std::uint8_t value) {
  const bool divisor_latch = (line_control_ & kDivisorLatch) != 0;
  const std::uint8_t before = cause();
  switch (reg) {
    case kData:
      if (divisor_latch) {
        divisor_ = static_cast<std::uint16_t>((divisor_ & 0xFF00) | value);
        break;
      }
      if ((modem_control_ & kLoopback) != 0) {
        receive(value);
      } else {
        sink_->put(value);
      }
      transmit_empty_pending_ = true;
      break;
    case kInterruptEnable:
      if (divisor_latch) {
        divisor_ = static_cast<std::uint16_t>((divisor_ & 0x00FF) | (value << 8));
        break;
      }
      // Enabling the "transmitter empty" interrupt raises it at once, since the transmitter is empty.
      if ((value & ~interrupt_enable_ & kEnableTransmitEmpty) != 0) transmit_empty_pending_ = true;
      interrupt_enable_ = value & 0x0F;
      break;
    case kIdentAndFifo:
      fifo_control_ = value;
      if ((value & kFifoClearReceive) != 0 && std::exchange(received_count_, 0) != 0) sink_->input_wanted();
      break;
    case kLine:
      line_control_ = value;
      break;
    case kModem:
      modem_control_ = value & 0x1F;
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:
      break;  // the status registers
  }
  raise_if_new(before);
}

std::uint8_t Serial::take_received() {
  if (received_count_ == 0) return 0;
  const std::uint8_t byte = received_[received_head_];
  received_head_ = (received_head_ + 1) % received_.size();
  if (--received_count_ == 0) sink_->input_wanted();
  return byte;
}

void Serial::receive(std::uint8_t byte) {
  if (received_count_ == received_.size()) return;  // overrun
  received_[(received_head_ + received_count_) % received_.size()] = byte;
  ++received_count_;
}

std::uint8_t Serial::cause() const {
  if (received_count_ > 0 && (interrupt_enable_ & kEnableReceived) != 0) return kCauseReceived;
  if (transmit_empty_pending_ && (interrupt_enable_ & kEnableTransmitEmpty) != 0) return kCauseTransmitEmpty;
  return kNoCause;
}

std::uint8_t Serial::modem_status() const {
  if ((modem_control_ & kLoopback) == 0) return kCarrierReadyClear;
  // RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD.
  const unsigned control = modem_control_;
  return static_cast<std::uint8_t>(((control & 0x02) << 3) | ((control & 0x01) << 5) |
                                   ((control & 0x0C) << 4));
}

void Serial::raise_if_new(std::uint8_t cause_before) {
  const std::uint8_t now = cause();
  if (now == kNoCause || now == cause_before) return;
  signal_event(irq_event_fd_);
}

}  // namespace glassbox::devices
