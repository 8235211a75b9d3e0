#include "vmm/virtio/vsock/unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace glassbox::virtio {
namespace {

constexpr int kBacklog = 64;

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail("socket path {} is too long; {} bytes at most", path, sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> unix_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "cannot make a UNIX socket");
  return fd;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path) {
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  GB_ASSIGN(UniqueFd fd, unix_socket());
  ::unlink(path.c_str());
  if (::bind(fd.get(), generic(address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot bind {}", path);
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno(errno, "cannot listen at {}", path);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  GB_ASSIGN(UniqueFd fd, unix_socket());
  if (::connect(fd.get(), generic(address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot connect to {}", path);
  }
  return fd;
}

}  // namespace glassbox::virtio
