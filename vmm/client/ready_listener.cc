#include "vmm/client/ready_listener.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "guest/protocol.h"
#include "vmm/base/printable.h"
#include "vmm/base/socket_address.h"

namespace glassbox::client {
namespace {

constexpr std::size_t kFailedBytes = std::string_view(protocol::kFailedLine).size();

}  // namespace

Result<ReadyListener> ReadyListener::create(const std::filesystem::path& vsock_path) {
  const std::string path = vsock_path.string() + "_" + std::to_string(protocol::kReadyPort);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "cannot make a socket");
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  if (::bind(fd.get(), as_sockaddr(address), sizeof(address)) < 0 || ::listen(fd.get(), 4) < 0) {
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
  std::array<char, 128> bytes;
  const ssize_t got = ::recv(connection_.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got > 0) line_.append(bytes.data(), static_cast<std::size_t>(got));
  const std::size_t end = line_.find('\n');
  const std::string_view line = std::string_view(line_).substr(0, end);
  const bool failed = line.starts_with(protocol::kFailedLine);
  if (end != std::string::npos && (failed || line == protocol::kReadyLine)) {
    failure_ = failed ? printable(line.substr(kFailedBytes), protocol::kMaxFailure) : "";
    connection_.reset();
    return true;
  }
  if (got <= 0 || end != std::string::npos || line.size() > kFailedBytes + protocol::kMaxFailure)
    connection_.reset();
  return false;
}

}  // namespace glassbox::client
