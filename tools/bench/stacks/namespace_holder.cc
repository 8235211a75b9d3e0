#include "tools/bench/stacks/namespace_holder.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>

#include "vmm/base/io.h"
#include "vmm/base/socket_address.h"

namespace glassbox::bench {
namespace {

bool write_proc(const char* path, const std::string& text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd && write_all(fd.get(), text);
}

Status enter_namespace() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(uid == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return fail_errno(errno, "cannot make a network namespace");
  }
  if (uid != 0 && (!write_proc("/proc/self/setgroups", "deny") ||
                   !write_proc("/proc/self/uid_map", fmt::format("{} {} 1\n", uid, uid)) ||
                   !write_proc("/proc/self/gid_map", fmt::format("{} {} 1\n", gid, gid)))) {
    return fail_errno(errno, "cannot map the user into the namespace");
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, "cannot set lo up");
  return {};
}

Status hold(const std::string& socket_path, bool unshare) {
  if (unshare) GB_TRY(enter_namespace());
  GB_ASSIGN(const sockaddr_un address, unix_address(socket_path));
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot reach the launcher at {}", socket_path);
  }
  char byte = 0;
  while (::read(socket.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace

int hold_namespace(const std::string& socket_path, bool unshare) {
  const Status status = hold(socket_path, unshare);
  if (status) return 0;
  fmt::print(stderr, "glassbox-bench hold-namespace: {}\n", status.error().message);
  return 1;
}

Result<HolderListener> HolderListener::open(const std::string& path) {
  HolderListener listener;
  GB_ASSIGN(const sockaddr_un address, unix_address(path));
  listener.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(listener.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.socket_.get(), 4) != 0 || ::chmod(path.c_str(), 0666) != 0) {
    return fail_errno(errno, "cannot listen on {}", path);
  }
  listener.path_ = path;
  return listener;
}

bool HolderListener::waits(int limit_ms) const {
  pollfd wait{socket_.get(), POLLIN, 0};
  return ::poll(&wait, 1, limit_ms) == 1;
}

Result<NamespaceHolder> HolderListener::accept() const {
  NamespaceHolder holder;
  holder.socket.reset(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (!holder.socket || ::getsockopt(holder.socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, "cannot accept the holder of the network namespace");
  }
  holder.pid = peer.pid;
  return holder;
}

}  // namespace glassbox::bench
