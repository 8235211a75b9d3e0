#include "tests/delays/nat_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <filesystem>

#include "vmm/base/unique_fd.h"

namespace glassbox::delays {
namespace {

std::uint16_t port_of(int fd, int (*name)(int, sockaddr*, socklen_t*)) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (name(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sin_family != AF_INET) return 0;
  return ntohs(address.sin_port);
}

}  // namespace

Status delay_acknowledgements(pid_t nat, int connection) {
  const std::uint16_t port = port_of(connection, ::getpeername);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, nat, 0)));
  if (port == 0 || !pidfd) return fail_errno(errno, "cannot open the NAT's process {}", nat);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(nat) + "/fd")) {
    const int number = std::stoi(entry.path().filename());
    const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
    if (!fd || port_of(fd.get(), ::getsockname) != port) continue;
    const int off = 0;
    if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)) == 0) return {};
    return fail_errno(errno, "cannot turn off TCP_QUICKACK");
  }
  return fail("process {} has no socket with local port {}", nat, port);
}

}  // namespace glassbox::delays
