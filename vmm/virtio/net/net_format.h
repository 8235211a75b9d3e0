// virtio-net's feature bits and layouts (virtio 1.2, 5.1.3, 5.1.4, 5.1.6). Not from <linux/virtio_net.h>,
// which has a member called `class` and does not compile as C++.
#pragma once

#include <cstdint>

#include "net/guest_port.h"

namespace glassbox::virtio::net_format {

enum Feature : std::uint64_t {
  kCsum = 1ULL << 0,
  kGuestCsum = 1ULL << 1,
  kMtu = 1ULL << 3,
  kMac = 1ULL << 5,
  kGuestTso4 = 1ULL << 7,
  kGuestTso6 = 1ULL << 8,
  kHostTso4 = 1ULL << 11,
  kHostTso6 = 1ULL << 12,
  kMergeableBuffers = 1ULL << 15,
  kStatus = 1ULL << 16,
};

// virtio_net_hdr_v1, the same with and without mergeable buffers.
struct Header {
  net::VnetHeader vnet;
  std::uint16_t num_buffers = 0;
};
static_assert(sizeof(net::VnetHeader) == 10 && sizeof(Header) == 12);

struct [[gnu::packed]] Config {
  std::uint8_t mac[6];
  std::uint16_t status;
  std::uint16_t max_queue_pairs;
  std::uint16_t mtu;
};
static_assert(sizeof(Config) == 12);
inline constexpr std::uint16_t kLinkUp = 1;

}  // namespace glassbox::virtio::net_format
