// Waits until the guest's agent is up or has given up: it connects to kReadyPort and says so
// (guest/protocol.h). No polling, no sleeping.
//
// Thread: one.
#pragma once

#include <filesystem>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::client {

class ReadyListener {
 public:
  // Listens on "<vsock_path>_1026"; the destructor removes the socket file.
  [[nodiscard]] static Result<ReadyListener> create(const std::filesystem::path& vsock_path);
  ReadyListener(ReadyListener&&) noexcept = default;
  ReadyListener& operator=(ReadyListener&&) = delete;
  ~ReadyListener();

  // To be polled for reading; then call take(). The descriptor may change between calls.
  [[nodiscard]] int fd() const { return connection_ ? connection_.get() : listener_.get(); }
  // True once the agent has said that it is ready, or what failed. Does not block. Any other message is
  // ignored.
  [[nodiscard]] bool take();
  // What failed, printable; empty if the agent is ready. Valid after take() was true.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  ReadyListener(std::filesystem::path path, UniqueFd listener)
      : path_(std::move(path)), listener_(std::move(listener)) {}
  std::filesystem::path path_;
  UniqueFd listener_;
  UniqueFd connection_;
  std::string line_;
  std::string failure_;
};

}  // namespace glassbox::client
