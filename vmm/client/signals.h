// The signals that a session handles, as a descriptor that poll() can wait for.
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::client {

// INT, TERM, HUP, QUIT and WINCH. While this object lives they are blocked for the calling thread and
// for threads that it starts. Create it before the first thread, or another thread would take the signals.
class SignalWatch {
 public:
  [[nodiscard]] static Result<SignalWatch> create();
  SignalWatch(SignalWatch&& other) noexcept : fd_(std::move(other.fd_)), before_(other.before_) {}
  SignalWatch& operator=(SignalWatch&&) = delete;
  ~SignalWatch();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The next pending signal; does not wait.
  [[nodiscard]] std::optional<int> take() const;

 private:
  SignalWatch(UniqueFd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}
  UniqueFd fd_;
  sigset_t before_;
};

}  // namespace glassbox::client
