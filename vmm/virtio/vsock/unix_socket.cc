#include "vmm/virtio/vsock/unix_socket.h"

#include <sys/socket.h>

#include "vmm/base/socket_address.h"

namespace glassbox::virtio {
namespace {

constexpr int kBacklog = 64;

Result<UniqueFd> unix_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "cannot make a UNIX socket");
  return fd;
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path) {
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  GB_ASSIGN(UniqueFd fd, unix_socket());
  ::unlink(path.c_str());
  if (::bind(fd.get(), as_sockaddr(address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot bind {}", path);
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno(errno, "cannot listen at {}", path);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  GB_ASSIGN(UniqueFd fd, unix_socket());
  if (::connect(fd.get(), as_sockaddr(address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot connect to {}", path);
  }
  return fd;
}

}  // namespace glassbox::virtio
