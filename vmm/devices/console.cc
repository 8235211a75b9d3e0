#include "vmm/devices/console.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "vmm/base/io.h"
#include "vmm/base/start_thread.h"

namespace glassbox::devices {

Result<std::unique_ptr<Console>> Console::create(Output output, int input_fd, int irq_event_fd) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return fail_errno(errno, "eventfd");
  return std::unique_ptr<Console>(new Console(std::move(output), input_fd, std::move(wake), irq_event_fd));
}

Console::Console(Output output, int input_fd, UniqueFd wake, int irq_event_fd)
    : output_(std::move(output)), input_fd_(input_fd), wake_(std::move(wake)), serial_(irq_event_fd, this) {
  buffer_.reserve(kBufferBytes);
  draining_.reserve(kBufferBytes);
}

Console::~Console() {
  finish();
}

Status Console::start() {
  GB_ASSIGN(thread_, start_thread("the console's thread", [this] {
              ::pthread_setname_np(::pthread_self(), "gb-console");
              run();
            }));
  return {};
}

void Console::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

void Console::put(std::uint8_t byte) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (buffer_.size() == kBufferBytes) {
      ++dropped_;
      return;
    }
    was_empty = buffer_.empty();
    buffer_.push_back(byte);
  }
  if (was_empty) wake();
}

void Console::input_wanted() {
  if (input_fd_ >= 0) wake();
}

void Console::wake() const {
  signal_event(wake_.get());
}

void Console::run() {
  int input_fd = input_fd_;
  while (!flush()) {
    const bool wants_input = input_fd >= 0 && serial_.input_room() > 0;
    std::array<pollfd, 2> fds = {{{wake_.get(), POLLIN, 0}, {wants_input ? input_fd : -1, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;  // EINTR
    clear_event(wake_.get());
    if (fds[1].revents != 0 && !feed_input(input_fd)) input_fd = -1;
  }
}

bool Console::flush() {
  std::uint64_t dropped = 0;
  bool finishing = false;
  {
    const std::lock_guard lock(mutex_);
    draining_.clear();
    draining_.swap(buffer_);
    dropped = std::exchange(dropped_, 0);
    finishing = finishing_;
  }
  if (!draining_.empty()) {
    panic_watch_.feed(draining_);
    if (output_) output_(draining_);
  }
  if (dropped != 0 && output_) {
    const std::string note = fmt::format("\r\n[glassbox: {} bytes of console output dropped]\r\n", dropped);
    output_({reinterpret_cast<const std::uint8_t*>(note.data()), note.size()});
  }
  return finishing;
}

// False at the end of the input.
bool Console::feed_input(int fd) {
  std::array<std::uint8_t, 64> bytes;
  const std::size_t room = std::min(bytes.size(), serial_.input_room());
  if (room == 0) return true;
  const ssize_t got = ::read(fd, bytes.data(), room);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return false;
  serial_.input(std::span(bytes).first(static_cast<std::size_t>(got)));
  return true;
}

}  // namespace glassbox::devices
