// Which name server the host asks: the first IPv4 one of /etc/resolv.conf, read again when it may have
// changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/inet.h"

namespace glassbox::net {

// The first "nameserver" line with an IPv4 address (resolv.conf(5)).
[[nodiscard]] std::optional<Ipv4> first_nameserver(std::string_view resolv_conf);

class Resolver {
 public:
  // Reads the file at most once in kFreshNs; allocates nothing.
  [[nodiscard]] std::optional<Ipv4> address(std::uint64_t now_ns);

 private:
  static constexpr std::uint64_t kFreshNs = 5'000'000'000;
  std::optional<Ipv4> address_;
  std::uint64_t read_ns_ = 0;
};

}  // namespace glassbox::net
