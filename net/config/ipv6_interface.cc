#include "net/config/ipv6_interface.h"

// clang-format off
#include <sys/socket.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
// clang-format on
#include <net/if.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "net/inet.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

// One rtnetlink request (rtnetlink(7)): a header that belongs to the type, then attributes.
class Request {
 public:
  template <typename Header>
  Request(std::uint16_t type, const Header& header) {
    message_.nlmsg_type = type;
    message_.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    append(&header, sizeof(header));
  }
  void attribute(std::uint16_t type, const void* value, std::size_t bytes) {
    const rtattr header{static_cast<unsigned short>(RTA_LENGTH(bytes)), type};
    append(&header, sizeof(header));
    append(value, bytes);
  }
  void address(std::uint16_t type, const IpAddress& address) {
    std::array<std::uint8_t, 16> bytes;
    address.store(bytes.data());
    attribute(type, bytes.data(), bytes.size());
  }

  // Sends the request. Returns the kernel's answer: 0 or an errno.
  [[nodiscard]] int perform() {
    const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    message_.nlmsg_len = static_cast<std::uint32_t>(sizeof(message_) + bytes_);
    std::memcpy(room_.data(), &message_, sizeof(message_));
    if (!fd || ::send(fd.get(), room_.data(), message_.nlmsg_len, 0) < 0) return errno;
    std::array<char, 512> answer;
    const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
    if (n < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(int))) return n < 0 ? errno : EPROTO;
    int error = 0;
    std::memcpy(&error, answer.data() + sizeof(nlmsghdr), sizeof(error));
    return -error;
  }

 private:
  void append(const void* from, std::size_t bytes) {
    std::memcpy(room_.data() + sizeof(message_) + bytes_, from, bytes);
    bytes_ += NLMSG_ALIGN(bytes);
  }
  nlmsghdr message_{};
  std::array<char, 256> room_{};
  std::size_t bytes_ = 0;
};

}  // namespace

void quiet_ipv6(const char* interface) {
  const std::string directory = std::string("/proc/sys/net/ipv6/conf/") + interface + "/";
  for (const auto& [name, value] : {std::pair{"disable_ipv6", 0}, {"accept_ra", 0}, {"accept_dad", 0}}) {
    std::ofstream(directory + name) << value;
  }
}

Result<bool> configure_ipv6(const char* interface) {
  const unsigned index = ::if_nametoindex(interface);
  ifaddrmsg own{};
  own.ifa_family = AF_INET6;
  own.ifa_prefixlen = kNetwork6Prefix;
  own.ifa_flags = IFA_F_NODAD | IFA_F_PERMANENT;
  own.ifa_index = index;
  Request address(RTM_NEWADDR, own);
  address.address(IFA_LOCAL, kGuestIp6);
  address.address(IFA_ADDRESS, kGuestIp6);
  const int error = address.perform();
  // IPv6 is not in this kernel (EOPNOTSUPP), is off by ipv6.disable or disable_ipv6 (EACCES), or the MTU is
  // too small for it (EINVAL).
  if (error == EOPNOTSUPP || error == EAFNOSUPPORT || error == EACCES || error == EINVAL) return false;
  if (error != 0) return fail_errno(error, "cannot set the IPv6 address of {}", interface);

  rtmsg all{};
  all.rtm_family = AF_INET6;
  all.rtm_table = RT_TABLE_MAIN;
  all.rtm_protocol = RTPROT_STATIC;
  all.rtm_scope = RT_SCOPE_UNIVERSE;
  all.rtm_type = RTN_UNICAST;
  Request route(RTM_NEWROUTE, all);
  route.address(RTA_GATEWAY, kGatewayIp6);
  route.attribute(RTA_OIF, &index, sizeof(index));
  const int route_error = route.perform();
  if (route_error != 0) return fail_errno(route_error, "cannot add the IPv6 default route");
  return true;
}

}  // namespace glassbox::net
