#include "vmm/virtio/vsock/vsock_handshake.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace glassbox::virtio {

std::optional<std::uint32_t> parse_connect_line(std::string_view line) {
  constexpr std::string_view kVerb = "CONNECT ";
  if (!line.starts_with(kVerb)) return std::nullopt;
  line.remove_prefix(kVerb.size());
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), port);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  return port;
}

VsockDevice::Handshake::~Handshake() {
  if (registered_) device_.loop_.remove(socket_.get());
}

Status VsockDevice::Handshake::start() {
  GB_TRY(device_.loop_.add(socket_.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, this));
  registered_ = true;
  return {};
}

UniqueFd VsockDevice::Handshake::take_socket() {
  if (registered_) device_.loop_.remove(socket_.get());
  registered_ = false;
  return std::move(socket_);
}

void VsockDevice::Handshake::on_fd_ready(std::uint32_t) {
  if (!socket_) return;
  std::array<char, kMaxLine> buffer;
  const ssize_t seen = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (seen <= 0) return device_.handshake_done(*this, std::nullopt);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(seen));
  const std::size_t newline = text.find('\n');
  if (newline == std::string_view::npos) {
    if (text.size() == kMaxLine) device_.handshake_done(*this, std::nullopt);
    return;  // more is to come
  }
  const std::optional<std::uint32_t> port = parse_connect_line(text.substr(0, newline));
  if (::recv(socket_.get(), buffer.data(), newline + 1, MSG_DONTWAIT) != static_cast<ssize_t>(newline + 1)) {
    return device_.handshake_done(*this, std::nullopt);
  }
  device_.handshake_done(*this, port);
}

}  // namespace glassbox::virtio
