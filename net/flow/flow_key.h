// The addresses and ports that identify a flow, as the guest sees them.
#pragma once

#include <cstdint>

#include "net/inet.h"

namespace glassbox::net {

struct FlowKey {
  IpAddress guest;
  IpAddress dst;  // as the guest sees it
  std::uint16_t guest_port = 0;
  std::uint16_t dst_port = 0;
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

// Keyed with a secret, so that a guest cannot choose ports that collide.
[[nodiscard]] inline std::uint64_t hash_of(const FlowKey& key, std::uint64_t secret) {
  const auto mix = [](std::uint64_t h, std::uint64_t v) {
    h = (h ^ v) * 0x9e37'79b9'7f4a'7c15ULL;
    return h ^ (h >> 29);
  };
  std::uint64_t h = mix(secret, key.guest.lo ^ key.guest.hi);
  h = mix(h, key.dst.hi);
  h = mix(h, key.dst.lo);
  h = mix(h + secret, (std::uint64_t{key.guest_port} << 16) | key.dst_port);
  return mix(h, secret >> 32);
}

}  // namespace glassbox::net
