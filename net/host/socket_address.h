// Socket addresses of either family, converted from and to the NAT's IpAddress.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

#include "net/inet.h"

namespace glassbox::net {

class SocketAddress {
 public:
  SocketAddress() = default;  // room for one that the kernel fills in
  SocketAddress(const IpAddress& address, std::uint16_t port) {
    if (address.is_v4()) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      in.sin_addr.s_addr = htonl(address.v4());
      std::memcpy(&storage_, &in, length_ = sizeof(in));
    } else {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      store_be32(&in.sin6_addr.s6_addr[0], static_cast<std::uint32_t>(address.hi >> 32));
      store_be32(&in.sin6_addr.s6_addr[4], static_cast<std::uint32_t>(address.hi));
      store_be32(&in.sin6_addr.s6_addr[8], static_cast<std::uint32_t>(address.lo >> 32));
      store_be32(&in.sin6_addr.s6_addr[12], static_cast<std::uint32_t>(address.lo));
      std::memcpy(&storage_, &in, length_ = sizeof(in));
    }
  }

  [[nodiscard]] int family() const { return storage_.ss_family; }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t length() const { return length_; }
  [[nodiscard]] socklen_t* length_out() { return &length_; }

  [[nodiscard]] std::uint16_t port() const {
    std::uint16_t port = 0;  // at the same place in both families
    std::memcpy(&port, reinterpret_cast<const char*>(&storage_) + offsetof(sockaddr_in, sin_port),
                sizeof(port));
    return ntohs(port);
  }
  // All zeros if the family is neither AF_INET nor AF_INET6.
  [[nodiscard]] IpAddress address() const {
    if (family() == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, &storage_, sizeof(in));
      return IpAddress::from_v4(ntohl(in.sin_addr.s_addr));
    }
    if (family() != AF_INET6) return {};
    sockaddr_in6 in{};
    std::memcpy(&in, &storage_, sizeof(in));
    const std::uint8_t* b = &in.sin6_addr.s6_addr[0];
    return {(std::uint64_t{load_be32(b)} << 32) | load_be32(b + 4),
            (std::uint64_t{load_be32(b + 8)} << 32) | load_be32(b + 12)};
  }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = sizeof(sockaddr_storage);
};

}  // namespace glassbox::net
