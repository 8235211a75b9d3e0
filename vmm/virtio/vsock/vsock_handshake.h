// The line "CONNECT <port>\n" that a host process sends first. Nothing behind the line is consumed: it
// belongs to the connection.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"
#include "vmm/virtio/vsock/vsock_device.h"

namespace glassbox::virtio {

// The port in a whole line without its newline; nothing if the line is malformed.
[[nodiscard]] std::optional<std::uint32_t> parse_connect_line(std::string_view line);

// Thread: the device loop.
class VsockDevice::Handshake final : public net::FdHandler {
 public:
  static constexpr std::size_t kMaxLine = 32;  // "CONNECT 4294967295\n" has 19

  Handshake(VsockDevice& device, UniqueFd socket) : device_(device), socket_(std::move(socket)) {}
  ~Handshake() override;

  [[nodiscard]] Status start();
  [[nodiscard]] UniqueFd take_socket();
  void on_fd_ready(std::uint32_t events) override;

 private:
  VsockDevice& device_;
  UniqueFd socket_;
  bool registered_ = false;
};

}  // namespace glassbox::virtio
