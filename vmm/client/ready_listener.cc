#include "vmm/client/ready_listener.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "guest/protocol.h"

namespace glassbox::client {

Result<ReadyListener> ReadyListener::create(const std::filesystem::path& vsock_path) {
  const std::string path = vsock_path.string() + "_" + std::to_string(protocol::kReadyPort);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd) return fail_errno(errno, "cannot make a socket");
  if (path.size() >= sizeof(address.sun_path)) return fail("{} is too long for a socket's name", path);
  std::copy(path.begin(), path.end(), address.sun_path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::listen(fd.get(), 4) < 0) {
    return fail_errno(errno, "cannot listen on {}", path);
  }
  return ReadyListener(path, std::move(fd));
}

ReadyListener::~ReadyListener() {
  if (listener_) ::unlink(path_.c_str());
}

bool ReadyListener::take() {
  if (!connection_) {
    connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    line_.clear();
    if (!connection_) return false;
  }
  const std::string wanted = std::string(protocol::kReadyLine) + "\n";
  std::array<char, 128> bytes;
  const ssize_t got = ::recv(connection_.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got > 0) line_.append(bytes.data(), static_cast<std::size_t>(got));
  if (line_.starts_with(wanted)) {
    connection_.reset();
    return true;
  }
  if (got <= 0 || line_.size() >= wanted.size()) connection_.reset();
  return false;
}

}  // namespace glassbox::client
