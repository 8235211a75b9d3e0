#include "net/netns/netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "net/config/ipv6_interface.h"
#include "net/inet.h"
#include "net/link/tap_port.h"
#include "net/netns/netns_keeper.h"
#include "vmm/base/io.h"

namespace glassbox::net {
namespace {

constexpr const char* kInterface = "eth0";
constexpr int kCannotRun = 126;

Status write_file(const char* path, const std::string& text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd || !write_all(fd.get(), text)) return fail_errno(errno, "cannot write {}", path);
  return {};
}

Status enter_namespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (uid == 0) {
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
      return fail_errno(errno, "cannot make a network namespace");
    }
    return {};
  }
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) {
    return fail_errno(errno,
                      "cannot make a user namespace (see sysctl kernel.unprivileged_userns_clone and "
                      "user.max_user_namespaces)");
  }
  GB_TRY(write_file("/proc/self/setgroups", "deny"));
  GB_TRY(write_file("/proc/self/uid_map", fmt::format("{} {} 1\n", uid, uid)));
  return write_file("/proc/self/gid_map", fmt::format("{} {} 1\n", gid, gid));
}

void set_address(sockaddr& out, Ipv4 address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  std::memcpy(&out, &in, sizeof(in));
}

class Interfaces {
 public:
  Interfaces() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

  Status up(const char* name) {
    ifreq request = named(name);
    if (::ioctl(socket_.get(), SIOCGIFFLAGS, &request) != 0) return failed("flags", name);
    request.ifr_flags |= IFF_UP;
    if (::ioctl(socket_.get(), SIOCSIFFLAGS, &request) != 0) return failed("up", name);
    return {};
  }

  Status configure(const char* name, std::uint16_t mtu) {
    ifreq request = named(name);
    request.ifr_hwaddr.sa_family = 1;  // ARPHRD_ETHER
    std::memcpy(request.ifr_hwaddr.sa_data, kGuestMac.data(), kGuestMac.size());
    if (::ioctl(socket_.get(), SIOCSIFHWADDR, &request) != 0) return failed("hardware address", name);
    request = named(name);
    request.ifr_mtu = mtu;
    if (::ioctl(socket_.get(), SIOCSIFMTU, &request) != 0) return failed("MTU", name);
    request = named(name);
    set_address(request.ifr_addr, kGuestIp);
    if (::ioctl(socket_.get(), SIOCSIFADDR, &request) != 0) return failed("address", name);
    request = named(name);
    set_address(request.ifr_netmask, ~Ipv4{0} << (32 - kNetworkPrefix));
    if (::ioctl(socket_.get(), SIOCSIFNETMASK, &request) != 0) return failed("netmask", name);
    GB_TRY(up(name));
    rtentry route{};
    set_address(route.rt_dst, 0);
    set_address(route.rt_genmask, 0);
    set_address(route.rt_gateway, kGatewayIp);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    if (::ioctl(socket_.get(), SIOCADDRT, &route) != 0) return failed("default route", name);
    return {};
  }

 private:
  static ifreq named(const char* name) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return request;
  }
  static tl::unexpected<Error> failed(const char* what, const char* name) {
    return fail_errno(errno, "cannot set the {} of {} in the namespace", what, name);
  }
  UniqueFd socket_;
};

// Mounts a file that names the NAT's name server over /etc/resolv.conf. The file lives on a tmpfs that is
// unmounted as soon as the file is bound, so it is visible nowhere else and nothing stays behind.
Status set_up_resolver(bool ipv6) {
  constexpr const char* kScratch = "/tmp";
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno(errno, "cannot make the namespace's mounts private");
  }
  if (::access("/etc/resolv.conf", F_OK) != 0) return {};
  if (::mount("tmpfs", kScratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") != 0) {
    return fail_errno(errno, "cannot mount a tmpfs in the namespace");
  }
  Status result;
  {
    const UniqueFd file(::open("/tmp/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    const std::string_view text =
        ipv6 ? "nameserver 10.0.2.3\nnameserver fd00:10:0:2::3\n" : "nameserver 10.0.2.3\n";
    if (!file || !write_all(file.get(), text) ||
        ::mount("/tmp/resolv.conf", "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) {
      result = fail_errno(errno, "cannot set /etc/resolv.conf in the namespace");
    }
  }
  if (::umount2(kScratch, MNT_DETACH) != 0) return fail_errno(errno, "cannot unmount the namespace's tmpfs");
  return result;
}

Result<UniqueFd> set_up_inside(const NatConfig& config) {
  GB_TRY(enter_namespaces());
  GB_ASSIGN(auto tap, open_tap(kInterface));
  quiet_ipv6(kInterface);
  Interfaces interfaces;
  GB_TRY(interfaces.up("lo"));
  GB_TRY(interfaces.configure(kInterface, config.mtu));
  GB_ASSIGN(const bool ipv6, configure_ipv6(kInterface));
  GB_TRY(set_up_resolver(ipv6));
  return tap;
}

// The child's answer: a message and, on success, the tap's descriptor. False if the parent is gone.
bool send_tap(int socket, int tap, const std::string& message) {
  iovec piece{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  if (tap >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &tap, sizeof(int));
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}

Result<UniqueFd> receive_tap(int socket) {
  std::array<char, 1024> text;
  iovec piece{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (n <= 0) return fail("the process in the namespace ended before the namespace was set up");
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) {
    return fail("{}", std::string_view(text.data(), static_cast<std::size_t>(n)));
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
  return UniqueFd(fd);
}

[[noreturn]] void run_child(const std::vector<std::string>& command, const NatConfig& config,
                            const sigset_t& signal_mask, int socket, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotRun);
  {
    auto tap = set_up_inside(config);
    if (!send_tap(socket, tap ? tap->get() : -1, tap ? "ok" : tap.error().message)) ::_exit(kCannotRun);
  }
  // Again: the change of credentials on entering the user namespace has cleared it (prctl(2)).
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char go = 0;
  if (::recv(socket, &go, 1, 0) != 1) ::_exit(kCannotRun);
  keep(command, signal_mask, socket);
}

}  // namespace

Result<NamespaceChild> start_in_namespace(const std::vector<std::string>& command, const NatConfig& config,
                                          const sigset_t& signal_mask) {
  if (::access("/proc/self/stat", F_OK) != 0) {
    return fail_errno(
        errno,
        "/proc is not mounted: mount it, so that processes that the command leaves behind can be "
        "found and ended");
  }
  std::array<int, 2> pair;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail_errno(errno, "cannot make a socket pair for the namespace's process");
  }
  UniqueFd parent_end(pair[0]);
  UniqueFd child_end(pair[1]);
  const pid_t parent = ::getpid();
  NamespaceChild child;
  child.pid = ::fork();
  if (child.pid < 0) return fail_errno(errno, "cannot fork the namespace's process");
  if (child.pid == 0) {
    parent_end.reset();
    run_child(command, config, signal_mask, child_end.get(), parent);
  }
  child_end.reset();
  auto tap = receive_tap(parent_end.get());
  child.pid_fd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  if (!tap || !child.pid_fd) {
    const Error error =
        tap ? Error{fmt::format("cannot open the namespace's process (pidfd_open): {}", std::strerror(errno)),
                    errno}
            : tap.error();
    parent_end.reset();
    ::waitpid(child.pid, nullptr, 0);
    return tl::unexpected<Error>(error);
  }
  child.tap = std::move(*tap);
  child.go = std::move(parent_end);
  return child;
}

}  // namespace glassbox::net
