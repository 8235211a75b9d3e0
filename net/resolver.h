// Which name server the host asks: the first one of /etc/resolv.conf, read again when it may have changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/inet.h"

namespace glassbox::net {

// The first "nameserver" line with an address (resolv.conf(5)). One with a zone (fe80::1%eth0) is passed
// over.
[[nodiscard]] std::optional<IpAddress> first_nameserver(std::string_view resolv_conf);

class Resolver {
 public:
  // Reads the file at most once in kFreshNs; allocates nothing.
  [[nodiscard]] std::optional<IpAddress> address(std::uint64_t now_ns);

 private:
  static constexpr std::uint64_t kFreshNs = 5'000'000'000;
  std::optional<IpAddress> address_;
  std::uint64_t read_ns_ = 0;
};

}  // namespace glassbox::net
