// The name servers that the host asks: those of /etc/resolv.conf, or those that the user named instead.
//
// The file is read again when a caller asks and the last reading is kFreshNs old. When the servers change, so
// does the version number, so that answers of the old servers can be dropped.
//
// Thread: the network thread. Nothing allocates after the constructor.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "net/inet.h"
#include "vmm/base/clock.h"

namespace glassbox::net {

struct NameServers {
  static constexpr std::size_t kMax = 3;  // MAXNS of resolv.conf(5)
  std::array<IpAddress, kMax> addresses;
  std::size_t count = 0;
  [[nodiscard]] std::span<const IpAddress> span() const { return std::span(addresses).first(count); }
  friend bool operator==(const NameServers&, const NameServers&) = default;
};

// Reads the first "nameserver" lines with an address. An address with a zone (fe80::1%eth0) is skipped.
[[nodiscard]] NameServers name_servers_of(std::string_view resolv_conf);

class Resolver {
 public:
  // named: the user's choice, of which the first kMax count; empty: read the file.
  explicit Resolver(std::span<const IpAddress> named);
  // Both may read the file. now_ns: CLOCK_MONOTONIC.
  [[nodiscard]] std::span<const IpAddress> servers(std::uint64_t now_ns) {
    refresh(now_ns);
    return servers_.span();
  }
  [[nodiscard]] std::uint32_t version(std::uint64_t now_ns) {
    refresh(now_ns);
    return version_;
  }

 private:
  void refresh(std::uint64_t now_ns);

  static constexpr std::uint64_t kFreshNs = 5 * kNsPerSecond;
  const bool named_;
  NameServers servers_;
  std::uint32_t version_ = 0;
  std::uint64_t read_ns_ = 0;
};

}  // namespace glassbox::net
