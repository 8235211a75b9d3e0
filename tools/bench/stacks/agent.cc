#include "tools/bench/stacks/agent.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>

namespace glassbox::bench {
namespace {

struct Answer {
  std::uint32_t failed = 0;
  std::uint32_t samples = 0;
  std::array<char, 120> error{};
};

bool read_all(int fd, void* to, std::size_t bytes) {
  return bytes == 0 || ::recv(fd, to, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

bool write_all(int fd, const void* from, std::size_t bytes) {
  const auto* data = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t n = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (n <= 0) return false;
    data += n;
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
}

bool write_file(const char* path, const std::string& text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Status enter_namespace() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(uid == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return fail_errno(errno, "cannot make a network namespace");
  }
  if (uid != 0 && (!write_file("/proc/self/setgroups", "deny") ||
                   !write_file("/proc/self/uid_map", fmt::format("{} {} 1\n", uid, uid)) ||
                   !write_file("/proc/self/gid_map", fmt::format("{} {} 1\n", gid, gid)))) {
    return fail_errno(errno, "cannot map the user");
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, "cannot set lo up");
  return {};
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return fail("socket path {} is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status serve(const std::string& socket_path, bool unshare) {
  if (unshare) GB_TRY(enter_namespace());
  GB_ASSIGN(const sockaddr_un address, address_of(socket_path));
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot reach the launcher");
  }
  std::vector<UniqueFd> held;
  for (Order order; read_all(socket.get(), &order, sizeof(order));) {
    const auto samples = carry_out(order, held);
    Answer answer;
    if (samples) {
      answer.samples = static_cast<std::uint32_t>(samples->size());
    } else {
      answer.failed = 1;
      std::strncpy(answer.error.data(), samples.error().message.c_str(), answer.error.size() - 1);
    }
    if (!write_all(socket.get(), &answer, sizeof(answer))) break;
    if (samples && !write_all(socket.get(), samples->data(), samples->size() * sizeof(std::uint64_t))) break;
  }
  return {};
}

}  // namespace

int run_agent(const std::string& socket_path, bool unshare) {
  const Status status = serve(socket_path, unshare);
  if (status) return 0;
  fmt::print(stderr, "bench_net agent: {}\n", status.error().message);
  return 1;
}

Result<std::vector<std::uint64_t>> AgentLink::run(const Order& order) {
  Answer answer;
  if (!write_all(socket_.get(), &order, sizeof(order)) || !read_all(socket_.get(), &answer, sizeof(answer))) {
    return fail("the client in the namespace ended");
  }
  if (answer.failed != 0) return fail("{}", answer.error.data());
  std::vector<std::uint64_t> samples(answer.samples);
  if (!read_all(socket_.get(), samples.data(), samples.size() * sizeof(std::uint64_t))) {
    return fail("the client in the namespace ended");
  }
  return samples;
}

Result<AgentDoor> AgentDoor::open(const std::string& path) {
  AgentDoor door;
  GB_ASSIGN(const sockaddr_un address, address_of(path));
  door.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(door.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(door.socket_.get(), 4) != 0 || ::chmod(path.c_str(), 0666) != 0) {
    return fail_errno(errno, "cannot listen on {}", path);
  }
  door.path_ = path;
  return door;
}

bool AgentDoor::waits(int limit_ms) const {
  pollfd wait{socket_.get(), POLLIN, 0};
  return ::poll(&wait, 1, limit_ms) == 1;
}

Result<AgentLink> AgentDoor::admit(const std::string& who, int limit_ms) {
  if (!waits(limit_ms)) return fail("{}: no client came out of it in {} ms", who, limit_ms);
  AgentLink link;
  link.socket_.reset(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (!link.socket_ || ::getsockopt(link.socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, "{}: cannot take up its client", who);
  }
  // A stack that loses the connection must not hang the benchmark.
  const timeval limit{120, 0};
  ::setsockopt(link.socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  link.pid_ = peer.pid;
  return link;
}

}  // namespace glassbox::bench
