// The packets of a virtio socket device (virtio 1.2, 5.10.6), and the limits of this device.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glassbox::virtio::vsock {

inline constexpr std::uint64_t kHostCid = 2;

enum class Op : std::uint16_t {
  kInvalid = 0,
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,  // VIRTIO_VSOCK_OP_RW
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

inline constexpr std::uint16_t kTypeStream = 1;
// Flags of kShutdown: the sender will not receive, will not send any more.
inline constexpr std::uint32_t kShutdownReceive = 1;
inline constexpr std::uint32_t kShutdownSend = 2;
inline constexpr std::uint32_t kShutdownBoth = 3;

struct [[gnu::packed]] Header {
  std::uint64_t src_cid = 0;
  std::uint64_t dst_cid = 0;
  std::uint32_t src_port = 0;
  std::uint32_t dst_port = 0;
  std::uint32_t len = 0;
  std::uint16_t type = kTypeStream;
  std::uint16_t op = 0;
  std::uint32_t flags = 0;
  std::uint32_t buf_alloc = 0;
  std::uint32_t fwd_cnt = 0;
};
static_assert(sizeof(Header) == 44);

// A connection buffers at most this much for a host process that reads slowly: the credit that the guest
// gets.
inline constexpr std::uint32_t kBufferBytes = 256 * 1024;
// A packet's payload (Linux takes no more: VIRTIO_VSOCK_MAX_PKT_BUF_SIZE).
inline constexpr std::size_t kMaxPayload = 64 * 1024;

// A connection: its port on the host's side and on the guest's.
struct Ports {
  std::uint32_t host = 0;
  std::uint32_t guest = 0;
  [[nodiscard]] std::uint64_t key() const { return (std::uint64_t{host} << 32) | guest; }
};

}  // namespace glassbox::virtio::vsock
