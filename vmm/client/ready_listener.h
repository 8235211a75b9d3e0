// Waits for the guest's agent to say that it is up (guest/protocol.h, kReadyPort): the host's end of a
// connection that the guest opens. Nothing is polled, nothing is slept on.
//
// Thread: one.
#pragma once

#include <filesystem>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::client {

class ReadyListener {
 public:
  // Listens on "<vsock_path>_1026"; the socket file goes with the listener.
  [[nodiscard]] static Result<ReadyListener> create(const std::filesystem::path& vsock_path);
  ReadyListener(ReadyListener&&) noexcept = default;
  ReadyListener& operator=(ReadyListener&&) = delete;
  ~ReadyListener();

  // To be polled for reading; then call take(). The descriptor may change between calls.
  [[nodiscard]] int fd() const { return connection_ ? connection_.get() : listener_.get(); }
  // True once the agent has said that it is ready. Does not block. A guest that says anything else is
  // ignored.
  [[nodiscard]] bool take();

 private:
  ReadyListener(std::filesystem::path path, UniqueFd listener)
      : path_(std::move(path)), listener_(std::move(listener)) {}
  std::filesystem::path path_;
  UniqueFd listener_;
  UniqueFd connection_;
  std::string line_;
};

}  // namespace glassbox::client
