// Which name servers the host asks: those of /etc/resolv.conf, or those that the user named instead.
//
// The file is read again when it may have changed: whoever asks gets what was there at most kFreshNs ago.
// Other servers have another version number, so that answers of the old ones can be forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "net/inet.h"

namespace glassbox::net {

struct NameServers {
  static constexpr std::size_t kMax = 3;  // MAXNS of resolv.conf(5)
  std::array<IpAddress, kMax> addresses;
  std::size_t count = 0;
  [[nodiscard]] std::span<const IpAddress> span() const { return std::span(addresses).first(count); }
  friend bool operator==(const NameServers&, const NameServers&) = default;
};

// The first "nameserver" lines with an address. One with a zone (fe80::1%eth0) is passed over.
[[nodiscard]] NameServers name_servers_of(std::string_view resolv_conf);

class Resolver {
 public:
  // Of those that are named, the first kMax count.
  explicit Resolver(std::span<const IpAddress> named);
  // Reads the file at most once in kFreshNs; allocates nothing.
  [[nodiscard]] std::span<const IpAddress> servers(std::uint64_t now_ns);
  [[nodiscard]] std::uint32_t version(std::uint64_t now_ns);

 private:
  static constexpr std::uint64_t kFreshNs = 5'000'000'000;
  const bool named_;
  NameServers servers_;
  std::uint32_t version_ = 0;
  std::uint64_t read_ns_ = 0;
};

}  // namespace glassbox::net
