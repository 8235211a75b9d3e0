// The host's end of the serial console: a thread between the UART and the user's descriptor, so that no vCPU
// ever waits for a terminal, a pipe or a disk.
//
// Output passes through a bounded buffer. If the reader is slower than the guest, output that does not fit is
// dropped, and a line with the number of dropped bytes takes its place. The thread also watches the output
// for a kernel panic (panic_watch.h). Input is read from a file descriptor as the guest asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/devices/panic_watch.h"
#include "vmm/devices/serial.h"

namespace glassbox::devices {

class Console : public ByteSink {
 public:
  // Called on the console's thread; may block.
  using Output = std::function<void(std::span<const std::uint8_t>)>;
  static constexpr std::size_t kBufferBytes = 256 * 1024;

  // input_fd (-1: none) stays the caller's. The UART's interrupts go to irq_event_fd.
  [[nodiscard]] static Result<std::unique_ptr<Console>> create(Output output, int input_fd, int irq_event_fd);
  ~Console() override;

  [[nodiscard]] Serial& serial() { return serial_; }

  [[nodiscard]] Status start();
  // Writes out the buffer and ends the thread, and with it the input.
  void finish();
  // The kernel's panic message; empty if it did not panic. Call it after finish().
  [[nodiscard]] const std::string& panic_message() const { return panic_watch_.message(); }

  void put(std::uint8_t byte) override;
  void input_wanted() override;

 private:
  Console(Output output, int input_fd, UniqueFd wake, int irq_event_fd);
  void run();
  void wake() const;
  bool flush();  // true if the end was asked for
  bool feed_input(int fd);

  const Output output_;
  const int input_fd_;
  const UniqueFd wake_;  // eventfd
  Serial serial_;
  PanicWatch panic_watch_;  // console thread

  std::mutex mutex_;
  std::vector<std::uint8_t> buffer_;  // waiting for the console thread
  std::uint64_t dropped_ = 0;
  bool finishing_ = false;

  std::vector<std::uint8_t> draining_;  // console thread
  std::thread thread_;
};

}  // namespace glassbox::devices
